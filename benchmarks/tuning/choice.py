"""Which variant of a comparison is taken: the one that gains most over the sets, if by more than its standard error."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Gain:
    """A variant over what it was compared with: the mean change of the accuracy over sets and seeds, its standard error
    (None of one pair), and the mean change of the loss."""

    mean: float
    error: float | None
    loss: float
    num_pairs: int
    num_changed: int

    @property
    def is_certain(self) -> bool:
        return self.error is not None and self.mean > self.error


def gain(before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> Gain:
    """Paired by their order."""
    changes = [new["accuracy"] - old["accuracy"] for old, new in zip(before, after, strict=True)]
    losses = [new["loss"] - old["loss"] for old, new in zip(before, after, strict=True)]
    error = statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else None
    changed = sum(change != 0 or loss != 0 for change, loss in zip(changes, losses, strict=True))
    return Gain(statistics.mean(changes), error, statistics.mean(losses), len(changes), changed)


def best(gains: Mapping[str, Gain]) -> str | None:
    """The variant to take; None: what was there stays."""
    certain = {name: each for name, each in gains.items() if each.is_certain}
    return max(certain, key=lambda name: certain[name].mean) if certain else None


def describe(name: str, found: Gain) -> str:
    """A variant's line in a table."""
    error = "" if found.error is None else f" ± {100 * found.error:.2f}"
    return f"| {name} | {found.num_changed} of {found.num_pairs} | {100 * found.mean:+.2f}{error} | {found.loss:+.4f} |"
