"""How long each reader was fuzzed already: a small file that is written after every reader, and read the next time.

An entry counts while the reader's code is the same (code.py), it is of a commit, and it was fuzzed as well as can be
here: what was changed at random only is fuzzed again where atheris is installed.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trust.made import NO_COMMIT, made_now

TITLE = "reader fuzzed: "
ATHERIS, AT_RANDOM = "atheris", "random changes"  # the ways


class State:
    """The entries of all readers called `names`; `codes` are those that the readers of this sitting have now."""

    def __init__(
        self,
        file: Path | None,
        names: Iterable[str],
        codes: Mapping[str, str],
        *,
        commit: str,
        way: str,
        wanted_s: float,
    ) -> None:
        self._file, self._codes, self._commit, self._way = file, codes, commit, way
        self._wanted_s, self._lock, self._added = wanted_s, threading.Lock(), set[str]()
        kept: list[dict[str, Any]] = [] if file is None or not file.exists() else json.loads(file.read_text())
        known = {entry["name"]: entry for entry in kept}
        self.entries = {name: known.get(TITLE + name, _entry(name)) for name in names}
        for name, entry in self.entries.items():
            entry["wanted_s"] = wanted_s
            if name in codes:
                entry["is_old"] = entry["seconds"] > 0 and not self._counts(name, entry)
        self.write()

    def done_s(self, name: str) -> float:
        """Seconds that count of what the reader was fuzzed."""
        entry = self.entries[name]
        return float(entry["seconds"]) if self._counts(name, entry) else 0.0

    def left_s(self, name: str) -> float:
        """Seconds that are still to be done."""
        return max(0.0, self._wanted_s - self.done_s(name))

    def add(self, name: str, figures: Mapping[str, Any]) -> None:
        """Note a further time of fuzzing, beside what counts of the earlier ones."""
        with self._lock:
            before = self.entries[name] if self._counts(name, self.entries[name]) else _entry(name)
            faults = [*before["faults"], *(fault for fault in figures["faults"] if fault not in before["faults"])]
            outcomes = Counter(before["outcomes"]) + Counter(figures["outcomes"])
            self.entries[name] = {
                "name": TITLE + name,
                "cases": outcomes.total() + len(faults),
                "outcomes": dict(outcomes),
                "faults": faults,
                "note": "",
                "way": self._way,
                "seconds": round(before["seconds"] + figures["seconds"], 1),
                "wanted_s": self._wanted_s,
                "is_old": False,
                "code": self._codes[name],
                **made_now(self._commit),
            }
            self._added.add(name)
            self.write()

    def write(self) -> None:
        """The file, whole or not at all."""
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(".tmp")
            temporary.write_text(json.dumps([*self.entries.values()], indent=1) + "\n")
            temporary.replace(self._file)

    def _counts(self, name: str, entry: Mapping[str, Any]) -> bool:
        if name in self._added:
            return True
        is_of_now = entry.get("code") == self._codes.get(name, "") and entry.get("commit", NO_COMMIT) != NO_COMMIT
        return is_of_now and self._commit != NO_COMMIT and entry["way"] in (self._way, ATHERIS)


def _entry(name: str) -> dict[str, Any]:
    figures: dict[str, Any] = {"cases": 0, "outcomes": {}, "faults": [], "note": "", "way": "", "seconds": 0}
    return {"name": TITLE + name, **figures, "is_old": False}
