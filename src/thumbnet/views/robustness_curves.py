"""What is drawn of accuracy under corruptions, as a picture and in a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thumbnet.evaluation.intervals import Interval
from thumbnet.evaluation.robustness import CorruptedAccuracy, Robustness


@dataclass(frozen=True)
class RobustnessCurve:
    """Accuracy, or balanced accuracy where that is another number, by the strength of one corruption, which is in
    `unit`: each value with its interval, None where it has none; and that of the images as they are."""

    corruption: str
    unit: str
    strengths: Sequence[float]
    values: Sequence[float]
    bounds: Sequence[Interval | None]
    as_they_are: float


def robustness_curves(robustness: Robustness) -> list[RobustnessCurve]:
    """One for each corruption."""
    balanced = robustness.balanced_accuracy if robustness.has_other_balanced else None
    curves = []
    for name, rows in robustness.by_corruption().items():
        shown = [_shown(row, robustness, is_balanced=balanced is not None) for row in rows]
        curves.append(
            RobustnessCurve(
                name,
                rows[0].unit,
                [row.strength for row in rows],
                [value for value, _ in shown],
                [bounds for _, bounds in shown],
                robustness.accuracy if balanced is None else balanced,
            )
        )
    return curves


def _shown(row: CorruptedAccuracy, robustness: Robustness, *, is_balanced: bool) -> tuple[float, Interval | None]:
    if is_balanced and row.balanced_accuracy is not None:
        return row.balanced_accuracy, row.balanced_accuracy_interval
    return row.accuracy, robustness.interval_of(row.accuracy)
