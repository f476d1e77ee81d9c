"""A file for each result, so that a sitting that was stopped goes on; a set is scored once.

DIR/results/SET_METHOD[_MINUTES_SEED].json, and in DIR/results/tune those of `--tune`, which never reach a report.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from own_pictures.methods import TIMELESS
from thumbnet.atomic import write_atomically

SAME = ("processor", "processor_kind", "num_threads", "torch", "python")  # of `circumstances`, for all of a record
HERE = Path(__file__).parent
PACKAGE = HERE.parent.parent / "src" / "thumbnet"
SOURCES = ("*.py", "*.toml", "*.cpp", "*.h", "*.safetensors")
OF_METHOD = {"plain-net": ("plain_net.py", "folders.py"), "svm": ("hog_svm.py", "folders.py", "pictures.py")}


@dataclass(frozen=True)
class Task:
    """One training: minutes and seed are None for a method that has neither."""

    set_name: str
    method: str
    minutes: float | None
    seed: int | None

    @classmethod
    def of(cls, set_name: str, method: str, minutes: float, seed: int) -> Task:
        return cls(set_name, method, *((None, None) if method in TIMELESS else (minutes, seed)))

    @property
    def file_name(self) -> str:
        words = [self.set_name, self.method]
        if self.minutes is not None:
            words += [f"{self.minutes:g}", str(self.seed)]
        return f"{'_'.join(words)}.json"


class Record:
    """The results in a folder, all of one machine; SystemExit where those there are of another."""

    def __init__(self, folder: Path, now: dict[str, Any]) -> None:
        self.folder, self.now = folder, now
        for path, values in self._files():
            before = values["circumstances"]
            different = [f"{key} {before[key]!r}, not {now[key]!r}" for key in SAME if before[key] != now[key]]
            if different:
                raise SystemExit(f"{path} was measured with {'; '.join(different)}: give another folder with --keep")

    def result(self, task: Task) -> dict[str, Any] | None:
        """What is recorded of a task, by whichever code; None where nothing is."""
        path = self.folder / task.file_name
        return json.loads(path.read_text()) if path.exists() else None

    def add(self, task: Task, found: dict[str, Any], *, manifest: str) -> None:
        """Keep a result; of a task that was scored before, count how often."""
        before = self.result(task)
        values = {
            "set": task.set_name,
            "method": task.method,
            "minutes": task.minutes,
            "seed": task.seed,
            **found,
            "manifest": manifest,
            "code": code_of(task.method),
            "num_scored": 1 + (0 if before is None else before["num_scored"]),
            "circumstances": self.now,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / task.file_name, json.dumps(values, indent=1) + "\n")

    def results(self) -> list[dict[str, Any]]:
        """All of them, by file name."""
        return [values for _, values in self._files()]

    def _files(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in sorted(self.folder.glob("*.json")):
            yield path, json.loads(path.read_text())


def is_missing(before: dict[str, Any] | None, task: Task, *, manifest: str, rescore: bool) -> bool:
    """Whether a task is to be done: nothing is recorded, or it was of other pictures.

    What was scored by other code is scored again with `rescore` only: nobody picks by the sets that are held out, and a
    bar of hours can be measured in sittings of days on which the code goes on. The report names the commits.
    """
    if before is None:
        return True
    return before["manifest"] != manifest or (rescore and before["code"] != code_of(task.method))


def code_of(method: str) -> str:
    """A digest of the code that a method's result depends on."""
    if method in OF_METHOD:
        paths = [HERE / name for name in OF_METHOD[method]]
    else:
        paths = sorted(path for pattern in SOURCES for path in PACKAGE.rglob(pattern))
    sha256 = hashlib.sha256()
    for path in paths:
        sha256.update(path.read_bytes())
    return sha256.hexdigest()[:16]
