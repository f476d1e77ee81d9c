"""The report's section on the threshold of two classes: both curves, and the answers at any threshold.

A control of the page moves over `MAX_POINTS` thresholds at most; without JavaScript a table shows some of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thumbnet.evaluation.analysis import Analysis
from thumbnet.evaluation.binary import BinaryCurves, OperatingPoint
from thumbnet.evaluation.intervals import Z
from thumbnet.models.decision import Decision
from thumbnet.views.numbers import per_cent
from thumbnet.views.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Line, draw_lines

MAX_POINTS = 400
SHOWN_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
EVEN = 0.5  # the threshold at which the likelier class is answered


@dataclass(frozen=True)
class ThresholdRow:
    """A line of the table: a threshold, the answers there, and whether it is the model's."""

    text: str
    point: OperatingPoint
    is_kept: bool


@dataclass(frozen=True)
class ThresholdSection:
    """The section: `positive` and `other` are the classes, `how` says how the model's threshold was picked; `kept` is
    at that threshold, or at one half in the place of those of several models."""

    positive: str
    other: str
    how: str
    kept: ThresholdRow
    rows: Sequence[ThresholdRow]
    roc: Chart
    precision_recall: Chart
    auc: float
    auc_interval: tuple[float, float]
    average_precision: float
    average_precision_interval: tuple[float, float]
    base_rate: float
    values: dict[str, Any]


def _how(decision: Decision | None, class_names: Sequence[str]) -> str:
    if decision is None:
        return "No threshold was picked: the likelier class is answered, which is a threshold of 50 %."
    return f"The model answers {decision.describe(class_names)}."


def threshold_section(analysis: Analysis, *, how: str = "") -> ThresholdSection | None:
    """The section of two classes; None of more, or where all images are of one. `how` says how several models answer
    whose predictions these are; empty: it is one model, with the analysis's decision or none."""
    if analysis.binary is None:
        return None
    curves, decision = analysis.binary.curves, analysis.evaluation.decision
    names = analysis.class_names
    kept = analysis.evaluation.at_threshold or curves.at(EVEN)
    points = _thinned(curves, kept)
    base_rate = curves.num_positives / (curves.num_positives + curves.num_negatives)
    others = (each for each in SHOWN_THRESHOLDS if not math.isclose(each, kept.threshold))
    shown = sorted([*others, kept.threshold])
    return ThresholdSection(
        positive=names[curves.positive],
        other=names[1 - curves.positive],
        how=how or _how(decision, names),
        kept=ThresholdRow(threshold_text(kept.threshold), kept, not how),
        rows=[
            ThresholdRow(threshold_text(threshold), point, threshold == kept.threshold and not how)
            for threshold in shown
            for point in [kept if threshold == kept.threshold else curves.at(threshold)]
        ],
        roc=_draw_roc(points, kept),
        precision_recall=_draw_precision_recall(points, kept, base_rate),
        auc=curves.auc,
        auc_interval=analysis.binary.auc_interval,
        average_precision=curves.average_precision,
        average_precision_interval=analysis.binary.average_precision_interval,
        base_rate=base_rate,
        values={
            "positives": curves.num_positives,
            "negatives": curves.num_negatives,
            "kept": points.index(kept),
            "z": Z,
            "points": [
                [threshold_text(each.threshold), each.num_true_positives, each.num_false_positives] for each in points
            ],
            "box": {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM},
        },
    )


def threshold_text(threshold: float) -> str:
    """A threshold as per cent: to a decimal, near 0 and 1 to as many as tell it from them."""
    nearness = min(threshold, 1 - threshold)
    for decimals in (1, 2, 3, 4, 5):
        if nearness >= 10.0 ** -(decimals + 1):
            return f"{100 * threshold:.{decimals}f} %"
    return "0 %" if threshold < EVEN else "100 %"


def _thinned(curves: BinaryCurves, kept: OperatingPoint) -> list[OperatingPoint]:
    """The answers at MAX_POINTS thresholds at most, from the lowest to the highest, that of the model among them."""
    points = curves.points()[::-1]
    num_kept = min(MAX_POINTS - 1, len(points))
    places = {round(index * (len(points) - 1) / max(1, num_kept - 1)) for index in range(num_kept)}
    chosen = [points[place] for place in sorted(places)]
    return sorted([*(each for each in chosen if each.threshold != kept.threshold), kept], key=_by_threshold)


def _by_threshold(point: OperatingPoint) -> tuple[float, int]:
    """Equal thresholds, as those near 1 round to, in the order of what they answer."""
    return point.threshold, -point.num_true_positives - point.num_false_positives


def _draw_roc(points: Sequence[OperatingPoint], kept: OperatingPoint) -> Chart:
    """Recall against the share of the other class that is answered wrong."""
    corner, reversed_points = [(0.0, 0.0)], points[::-1]
    places = corner + [(1 - point.specificity, point.recall) for point in reversed_points]
    return draw_lines(
        "ROC curve",
        [Line("recall", [x for x, _ in places], [y for _, y in places])],
        x_label="false alarms, of the other class",
        x_format=per_cent,
        y_format=per_cent,
        x_range=(0, 1),
        y_range=(0, 1),
        diagonal=True,
        mark=(1 - kept.specificity, kept.recall),
    )


def _draw_precision_recall(points: Sequence[OperatingPoint], kept: OperatingPoint, base_rate: float) -> Chart:
    """Precision against recall, with the precision of answering every image as the positive class."""
    answered = [point for point in points if point.num_true_positives + point.num_false_positives]
    lines = [
        Line("precision", [point.recall for point in answered], [point.precision for point in answered]),
        Line("all answered so", [0, 1], [base_rate, base_rate], 1),
    ]
    return draw_lines(
        "Precision and recall",
        lines,
        x_label="recall",
        x_format=per_cent,
        y_format=per_cent,
        x_range=(0, 1),
        y_range=(0, 1),
        mark=(kept.recall, kept.precision),
    )
