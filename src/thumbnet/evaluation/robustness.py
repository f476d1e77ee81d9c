"""Accuracy under corruptions at several strengths, on a fixed sample of the test images.

Where an image may have several labels, one counts as right where all are found and no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from thumbnet.evaluation.figure_names import are_apart
from thumbnet.evaluation.interval_texts import with_interval
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval, accuracy_interval
from thumbnet.specs.json_text import FORMAT, damaged
from thumbnet.specs.typed import from_fields

ROBUSTNESS_FORMAT = 2
MEASURE_AGAIN = "measure again: thumbnet evaluate RUN --robustness"


@dataclass(frozen=True)
class CorruptedAccuracy:
    """The accuracy, a fraction, under one corruption at one strength, which is in `unit`.

    `balanced_accuracy`, the mean recall of the classes, and its interval at CONFIDENCE_LEVEL are None where an image
    may have several labels, where the sample has no image of a class, and where an earlier version measured.
    """

    corruption: str
    strength: float
    unit: str
    accuracy: float
    balanced_accuracy: float | None = None
    balanced_accuracy_interval: Interval | None = None


@dataclass(frozen=True)
class Robustness:
    """A model's accuracy on a sample of `num_images` test images as they are, and under each corruption.

    `mean_interval` is that of the mean accuracy, at CONFIDENCE_LEVEL, None of one that an earlier version measured;
    `mean_balanced_interval` that of the mean balanced accuracy. `seed` is that of the sample and of the corruptions;
    `rows` go corruption by corruption, from mild to severe. Balanced accuracies are None as in `CorruptedAccuracy`.
    `str(robustness)` is the table.
    """

    num_images: int
    seed: int
    accuracy: float
    rows: tuple[CorruptedAccuracy, ...]
    mean_interval: Interval | None = None
    balanced_accuracy: float | None = None
    balanced_accuracy_interval: Interval | None = None
    mean_balanced_interval: Interval | None = None

    @property
    def mean_accuracy(self) -> float:
        """Over all rows: every corruption and strength counts the same."""
        return sum(row.accuracy for row in self.rows) / len(self.rows)

    @property
    def mean_balanced_accuracy(self) -> float | None:
        """The same of balanced accuracy."""
        known = [row.balanced_accuracy for row in self.rows if row.balanced_accuracy is not None]
        return sum(known) / len(known) if len(known) == len(self.rows) else None

    @property
    def has_other_balanced(self) -> bool:
        """Whether balanced accuracy is another number anywhere, by more than chance makes it with equal classes."""
        return any(are_apart(accuracy, balanced) for accuracy, balanced in self.scores)

    @property
    def scores(self) -> list[tuple[float, float | None]]:
        """Accuracy and balanced accuracy of the images as they are, and of each row."""
        of_rows = [(row.accuracy, row.balanced_accuracy) for row in self.rows]
        return [(self.accuracy, self.balanced_accuracy), *of_rows]

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
        balanced = self.mean_balanced_accuracy
        if balanced is not None:
            clean = with_interval(self.balanced_accuracy, self.balanced_accuracy_interval)
            mean = with_interval(balanced, self.mean_balanced_interval)
            lines.append(f"balanced accuracy {clean}, under the corruptions {mean} on average")
        for name, rows in self.by_corruption().items():
            bounds = [self.interval_of(row.accuracy) for row in rows]
            lines.append(f"{name:10} " + "".join(f"{row.strength:>7g}" for row in rows) + f"   {rows[0].unit}")
            lines += _lines_of("", [row.accuracy for row in rows], bounds)
            if self.has_other_balanced:
                lines += _lines_of(
                    "balanced",
                    [row.balanced_accuracy for row in rows],
                    [row.balanced_accuracy_interval for row in rows],
                )
        return "\n".join([*lines, f"In brackets, and from ... to: {CONFIDENCE_LEVEL:.0%} intervals."])


def _lines_of(heading: str, values: Sequence[float | None], bounds: Sequence[Interval | None]) -> list[str]:
    """Three lines of the table: shares at each strength, and where their intervals begin and end."""
    ends = [("from", [None if each is None else each[0] for each in bounds])]
    ends.append(("to", [None if each is None else each[1] for each in bounds]))
    return [
        f"{name:>11}" + "".join(f"{'-':>7}" if value is None else f"{value:>7.1%}" for value in shown)
        for name, shown in [(heading, values), *ends]
    ]


def robustness_from_dict(values: Mapping[str, Any], *, name: str, hint: str = MEASURE_AGAIN) -> Robustness:
    """The inverse of `to_dict`; RunError, which names the file `name`, where the values are of something else."""
    robustness = from_fields(Robustness, values, name=name, hint=hint)
    shares = [share for pair in robustness.scores for share in pair if share is not None]
    if not robustness.rows or robustness.num_images < 1 or robustness.seed < 0:
        raise damaged(name, "it holds no measurement", hint=hint)
    if not all(0 <= share <= 1 for share in shares):
        raise damaged(name, "an accuracy is not between 0 and 1", hint=hint)
    if len({balanced is None for _, balanced in robustness.scores}) > 1:
        raise damaged(name, "balanced accuracy is only there in part", hint=hint)
    return robustness
