"""A class's metrics with their intervals, as a table of text has them."""

from __future__ import annotations

from thumbnet.evaluation.classes import ClassMetrics
from thumbnet.evaluation.interval_texts import with_interval
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval

IN_BRACKETS = f"In brackets: {CONFIDENCE_LEVEL:.0%} intervals."


def class_texts(metrics: ClassMetrics) -> tuple[str, str, str]:
    """A class's precision, recall and F1 with their intervals, each a cell of a table."""
    intervals = metrics.intervals
    return (
        with_interval(metrics.precision, intervals.precision),
        with_interval(metrics.recall, intervals.recall),
        with_interval(metrics.f1, intervals.f1),
    )


def number_with_interval(value: float | None, bounds: Interval | None) -> str:
    """A figure that is no share with its interval in brackets; `-` where it is not defined."""
    if value is None or bounds is None:
        return "-" if value is None else f"{value:.4f}"
    return f"{value:.4f} ({bounds[0]:.4f} to {bounds[1]:.4f})"
