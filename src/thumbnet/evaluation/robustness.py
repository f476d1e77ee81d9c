"""Accuracy under corruptions at several strengths, on a fixed sample of the test images.

Where an image may have several labels, one counts as right where all are found and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from thumbnet.evaluation.class_texts import with_interval
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval, accuracy_interval
from thumbnet.specs.json_text import FORMAT, damaged
from thumbnet.specs.typed import from_fields

ROBUSTNESS_FORMAT = 2
MEASURE_AGAIN = "measure again: thumbnet evaluate RUN --robustness"


@dataclass(frozen=True)
class CorruptedAccuracy:
    """The accuracy, a fraction, under one corruption at one strength, which is in `unit`."""

    corruption: str
    strength: float
    unit: str
    accuracy: float


@dataclass(frozen=True)
class Robustness:
    """A model's accuracy on a sample of `num_images` test images as they are, and under each corruption.

    `mean_interval` is that of the mean accuracy, at CONFIDENCE_LEVEL, None of one that an earlier version measured.
    `seed` is that of the sample and of the corruptions; `rows` go corruption by corruption, from mild to severe.
    `str(robustness)` is the table.
    """

    num_images: int
    seed: int
    accuracy: float
    rows: tuple[CorruptedAccuracy, ...]
    mean_interval: Interval | None = None

    @property
    def mean_accuracy(self) -> float:
        """Over all rows: every corruption and strength counts the same."""
        return sum(row.accuracy for row in self.rows) / len(self.rows)

    def interval_of(self, accuracy: float) -> Interval:
        """Wilson's, at CONFIDENCE_LEVEL, of an accuracy on the sample."""
        return accuracy_interval(accuracy, self.num_images)

    def by_corruption(self) -> dict[str, tuple[CorruptedAccuracy, ...]]:
        """The rows of each corruption, in order."""
        return {name: tuple(rows) for name, rows in groupby(self.rows, key=lambda row: row.corruption)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `robustness_from_dict` reads them back."""
        return {
            FORMAT: ROBUSTNESS_FORMAT,
            **asdict(self),
            "accuracy_interval": self.interval_of(self.accuracy),
            "rows": [{**asdict(row), "accuracy_interval": self.interval_of(row.accuracy)} for row in self.rows],
        }

    def __str__(self) -> str:
        clean = f"accuracy {with_interval(self.accuracy, self.interval_of(self.accuracy))}"
        mean = with_interval(self.mean_accuracy, self.mean_interval)
        lines = [
            f"robustness, on {self.num_images:,} test images: {clean}, under the corruptions below {mean} on average"
        ]
        for name, rows in self.by_corruption().items():
            bounds = [self.interval_of(row.accuracy) for row in rows]
            lines.append(f"{name:10} " + "".join(f"{row.strength:>7g}" for row in rows) + f"   {rows[0].unit}")
            lines.append(" " * 11 + "".join(f"{row.accuracy:>7.1%}" for row in rows))
            lines.append(f"{'from':>11}" + "".join(f"{low:>7.1%}" for low, _ in bounds))
            lines.append(f"{'to':>11}" + "".join(f"{high:>7.1%}" for _, high in bounds))
        return "\n".join([*lines, f"In brackets, and from ... to: {CONFIDENCE_LEVEL:.0%} intervals."])


def robustness_from_dict(values: Mapping[str, Any], *, name: str, hint: str = MEASURE_AGAIN) -> Robustness:
    """The inverse of `to_dict`; RunError, which names the file `name`, where the values are of something else."""
    robustness = from_fields(Robustness, values, name=name, hint=hint)
    shares = [robustness.accuracy, *(row.accuracy for row in robustness.rows)]
    if not robustness.rows or robustness.num_images < 1 or robustness.seed < 0:
        raise damaged(name, "it holds no measurement", hint=hint)
    if not all(0 <= share <= 1 for share in shares):
        raise damaged(name, "an accuracy is not between 0 and 1", hint=hint)
    return robustness
