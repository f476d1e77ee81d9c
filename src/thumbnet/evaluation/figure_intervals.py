"""How sure the figures of a split are: by images; where these belong together, by whole groups if that is wider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from thumbnet.evaluation.classes import ClassMetrics, is_in_top, metrics_by_class, top_accuracy
from thumbnet.evaluation.clustered_shares import clustered_error, clustered_interval, mean_interval_by_groups
from thumbnet.evaluation.group_bootstrap import group_class_intervals, group_intervals
from thumbnet.evaluation.intervals import Interval, accuracy_interval, widest
from thumbnet.evaluation.metrics import Evaluation, standard_error
from thumbnet.evaluation.overall import OverallIntervals
from thumbnet.evaluation.predictions import Predictions


@dataclass(frozen=True)
class FigureIntervals:
    """The interval of each figure at CONFIDENCE_LEVEL, and the standard error of the accuracy.

    `loss` is None of a single image; `areas`, of the area under the ROC curve and of the average precision, where there
    are no curves.
    """

    standard_error: float
    accuracy: Interval
    top2_accuracy: Interval
    loss: Interval | None
    overall: OverallIntervals
    areas: tuple[Interval, Interval] | None


def figure_intervals(evaluation: Evaluation, groups: Int64[np.ndarray, " n"] | None) -> FigureIntervals:
    """Those of an evaluation; `groups`: a number for each image, equal for those of a group, None: each is for
    itself."""
    predictions, num_images = evaluation.predictions, evaluation.num_images
    own = FigureIntervals(
        standard_error=standard_error(evaluation.accuracy, num_images),
        accuracy=evaluation.accuracy_interval,
        top2_accuracy=accuracy_interval(top_accuracy(predictions, 2), num_images),
        loss=evaluation.loss_interval,
        overall=evaluation.overall_intervals,
        areas=evaluation.area_intervals,
    )
    if groups is None:
        return own
    found = group_intervals(predictions, groups, positive=evaluation.positive)
    top2 = clustered_interval(is_in_top(predictions, 2).double().numpy(), groups)
    return FigureIntervals(
        standard_error=max(own.standard_error, clustered_error(predictions.right.double().numpy(), groups)),
        accuracy=widest(own.accuracy, found["accuracy"]),
        top2_accuracy=widest(own.top2_accuracy, top2),
        loss=mean_interval_by_groups(predictions.losses.double().numpy(), groups),
        overall=OverallIntervals(
            balanced_accuracy=widest(own.overall.balanced_accuracy, found["balanced_accuracy"]),
            macro_f1=widest(own.overall.macro_f1, found["macro_f1"]),
            mcc=widest(own.overall.mcc, found["mcc"]),
        ),
        areas=own.areas and (widest(own.areas[0], found["auc"]), widest(own.areas[1], found["average_precision"])),
    )


def point_intervals(
    classes: Sequence[ClassMetrics], *, positive: int, accuracy: Interval
) -> dict[str, Interval | None]:
    """Those of an operating point's metrics, which are those of its two classes, by name."""
    own = classes[positive].intervals
    return {
        "precision": own.precision,
        "recall": own.recall,
        "specificity": classes[1 - positive].intervals.recall,
        "f1": own.f1,
        "accuracy": accuracy,
    }


def class_metrics(
    predictions: Predictions, class_names: Sequence[str], groups: Int64[np.ndarray, " n"] | None
) -> tuple[ClassMetrics, ...]:
    """The metrics of every class, with intervals of the same kind; `groups` as in `figure_intervals`."""
    classes = metrics_by_class(predictions, class_names)
    if groups is None:
        return classes
    by_group = group_class_intervals(predictions, groups)
    return tuple(each.with_intervals(bounds) for each, bounds in zip(classes, by_group, strict=True))
