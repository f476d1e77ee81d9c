"""peers.json: what was timed and trained so far, so that a run that was stopped goes on; one processor in a file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from thumbnet.atomic import write_atomically

SAME = (
    "processor",
    "processor_kind",
    "num_threads",
    "torch",
    "python",
)  # of `circumstances`, for all that stands in one table
BENCHMARKS = Path(__file__).parent.parent
SOURCES = ("*.py", "*.toml", "*.cpp", "*.h")


class Record:
    """The file in `folder`, or a new one that is written with the first entry.

    SystemExit where what is in it was measured in other circumstances than `now`.
    """

    def __init__(self, folder: Path, now: dict[str, Any]) -> None:
        self.path = folder / "peers.json"
        self.now = now
        self.values: dict[str, Any] = {"circumstances": now, "timings": {}, "runs": []}
        if self.path.exists():
            self.values = json.loads(self.path.read_text())
        before = self.values["circumstances"]
        different = [f"{key} {before[key]!r}, not {now[key]!r}" for key in SAME if before[key] != now[key]]
        if different:
            raise SystemExit(f"{self.path} was measured with {'; '.join(different)}: give another folder with --keep")

    def timing(self, name: str, code: str) -> dict[str, Any] | None:
        """The timing of this peer by this code, or None."""
        found: dict[str, Any] | None = self.values["timings"].get(name)
        return found if found is not None and found["code"] == code else None

    def add_timing(self, name: str, code: str, timing: dict[str, Any]) -> dict[str, Any]:
        self.values["timings"][name] = timing | self._mark(code)
        self._write()
        return timing

    def run(self, name: str, minutes: float, seed: int, code: str) -> dict[str, Any] | None:
        """The finished training of this peer by this code, or None."""
        return next(
            (run for run in self.values["runs"] if _key(run) == (name, minutes, seed) and run["code"] == code), None
        )

    def add_run(self, name: str, minutes: float, seed: int, code: str, result: dict[str, Any]) -> None:
        """It takes the place of one by other code."""
        run = {"peer": name, "minutes": minutes, "seed": seed} | result | self._mark(code)
        self.values["runs"] = [other for other in self.values["runs"] if _key(other) != _key(run)] + [run]
        self._write()

    def _mark(self, code: str) -> dict[str, Any]:
        return {"code": code, "commit": self.now["commit"], "date": self.now["date"]}

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(self.values, indent=1) + "\n")


def code_of_peer(module: str) -> str:
    """A digest of what a peer's training depends on: its module and those that it shares."""
    names = (f"{module}.py", "data.py", "plan.py", "measure.py", "../plain_reference.py")
    return _digest([BENCHMARKS / "peers" / name for name in names])


def code_of_ours() -> str:
    """A digest of the package's code, and of that by which it is timed and trained here."""
    package = BENCHMARKS.parent / "src" / "thumbnet"
    names = ("ours.py", "plan.py", "../measuring.py")
    return _digest(
        [
            *sorted(path for pattern in SOURCES for path in package.rglob(pattern)),
            *(BENCHMARKS / "peers" / name for name in names),
        ]
    )


def _digest(paths: list[Path]) -> str:
    sha256 = hashlib.sha256()
    for path in paths:
        sha256.update(path.read_bytes())
    return sha256.hexdigest()[:16]


def _key(run: dict[str, Any]) -> tuple[str, float, int]:
    return run["peer"], run["minutes"], run["seed"]
