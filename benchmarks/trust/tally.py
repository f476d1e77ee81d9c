"""How often a kind of fault was made, what came of it each time, and what must not have."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """The cases of one kind: how many ended how, and those that are faults of ours, in words."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    note: str = ""

    def add(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    def fault(self, what: str) -> None:
        print(f"{self.name}: {what}", file=sys.stderr)
        self.faults.append(what)

    @property
    def num_cases(self) -> int:
        return self.outcomes.total() + len(self.faults)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cases": self.num_cases,
            "outcomes": dict(self.outcomes),
            "faults": self.faults,
            "note": self.note,
        }
