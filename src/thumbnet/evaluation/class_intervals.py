"""How sure a class's precision, recall and F1 are."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.evaluation.intervals import Interval, f1_interval, share_interval, widest


@dataclass(frozen=True)
class ClassIntervals:
    """The interval of each metric of a class, at CONFIDENCE_LEVEL; None where nothing is known of it: of the precision
    if the class is never predicted, of the others if it has no image."""

    precision: Interval | None
    recall: Interval | None
    f1: Interval | None

    def widened(self, other: ClassIntervals) -> ClassIntervals:
        """These, reaching as far as the others where those reach further."""
        return ClassIntervals(
            _wider(self.precision, other.precision), _wider(self.recall, other.recall), _wider(self.f1, other.f1)
        )


def class_intervals(num_right: int, num_answered: int, num_there: int) -> ClassIntervals:
    """The intervals of a class's metrics, from how many images are of it and answered as it, are answered as it, are of
    it: Wilson's."""
    return ClassIntervals(
        precision=share_interval(num_right, num_answered),
        recall=share_interval(num_right, num_there),
        f1=f1_interval(num_right, num_answered, num_there) if num_there else None,
    )


def _wider(own: Interval | None, other: Interval | None) -> Interval | None:
    if own is None or other is None:
        return own
    return widest(own, other)
