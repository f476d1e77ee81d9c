"""All metrics of a model on a split in one place: what `thumbnet evaluate` prints and the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from thumbnet.data.class_counts import Baseline
from thumbnet.evaluation.analysis_text import describe_analysis
from thumbnet.evaluation.binary import BinaryCurves
from thumbnet.evaluation.calibration import (
    MIN_TEMPERATURE_IMAGES,
    SHOWN_COVERAGES,
    Calibration,
    Coverage,
    at_temperature,
    calibrate,
    cover,
    fit_temperature,
)
from thumbnet.evaluation.classes import (
    ClassMetrics,
    ConfusedPair,
    confused_pairs,
    highest_losses,
    least_confident_correct,
    most_confident_wrong,
    top_accuracy,
)
from thumbnet.evaluation.custom_intervals import MetricInterval, custom_metric_intervals, custom_to_dict
from thumbnet.evaluation.figure_intervals import FigureIntervals, class_metrics, figure_intervals, point_intervals
from thumbnet.evaluation.intervals import Interval
from thumbnet.evaluation.metrics import Evaluation
from thumbnet.evaluation.overall import OverallIntervals, OverallMetrics, overall_metrics
from thumbnet.evaluation.predictions import Predictions
from thumbnet.evaluation.refused import Refusals
from thumbnet.evaluation.unknown import when_known
from thumbnet.evaluation.unsure import when_sure

NUM_LISTED_IMAGES = 10


@dataclass(frozen=True)
class BinaryAnalysis:
    """The curves of two classes, and the intervals, at CONFIDENCE_LEVEL, of their areas."""

    curves: BinaryCurves
    auc_interval: tuple[float, float]
    average_precision_interval: tuple[float, float]


@dataclass(frozen=True)
class Analysis:
    """The metrics of one split. Accuracies and errors are fractions.

    `binary` is None of more than two classes, and where all images are of one.
    `temperature` and `calibrated`, the calibration with that temperature, are None where there were too few held-out
    predictions to fit it on, or none could be fitted. `paths` are the images' files, if they have any; `groups` numbers
    of the images, equal for those of a group, by which all intervals then are, too.
    """

    evaluation: Evaluation
    class_names: tuple[str, ...]
    intervals: FigureIntervals
    top2_accuracy: float
    overall: OverallMetrics
    binary: BinaryAnalysis | None
    classes: tuple[ClassMetrics, ...]
    confused: tuple[ConfusedPair, ...]
    calibration: Calibration
    coverage: Coverage
    temperature: float | None
    calibrated: Calibration | None
    paths: tuple[str, ...] | None = None
    groups: tuple[int, ...] | None = None

    @cached_property
    def custom_metric_intervals(self) -> dict[str, MetricInterval]:
        """Those of the users' metrics, by name; nowhere narrower than by whole groups, where images belong together."""
        if self.groups is None:
            return self.evaluation.custom_metric_intervals
        evaluation = self.evaluation
        return custom_metric_intervals(evaluation.predictions, evaluation.custom_metrics, np.array(self.groups))

    @cached_property
    def when_sure(self) -> Refusals | None:
        """How often the model is unsure, and its accuracy otherwise; None where it never is."""
        unsure = self.evaluation.unsure
        return None if unsure is None else when_sure(self.evaluation.predictions, unsure)

    @cached_property
    def when_known(self) -> Refusals | None:
        """How often the answer is unknown, and the accuracy otherwise; None where it never is."""
        return when_known(self.evaluation)

    @property
    def baseline(self) -> Baseline:
        """What always answering the commonest class would score."""
        return Baseline(self.overall.commonest_class, self.overall.commonest_share)

    @property
    def standard_error(self) -> float:
        """That of the accuracy."""
        return self.intervals.standard_error

    @property
    def overall_intervals(self) -> OverallIntervals:
        return self.intervals.overall

    @property
    def top2_accuracy_interval(self) -> Interval:
        return self.intervals.top2_accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; images are listed by their index in the split, and by their file if they have one."""
        values: dict[str, Any] = {
            "num_images": self.evaluation.num_images,
            "accuracy": self.evaluation.accuracy,
            "accuracy_interval": self.intervals.accuracy,
            "accuracy_standard_error": self.standard_error,
            "top2_accuracy": self.top2_accuracy,
            "top2_accuracy_interval": self.top2_accuracy_interval,
            "loss": self.evaluation.loss,
            "loss_interval": self.intervals.loss,
            **asdict(self.overall),
            **{f"{name}_interval": interval for name, interval in asdict(self.overall_intervals).items()},
            "calibration_error": self.calibration.error,
            "calibration_error_interval": self.calibration.interval,
            "reliability": [
                {**asdict(each), "accuracy_interval": each.accuracy_interval} for each in self.calibration.bins
            ],
            "coverage": [
                {
                    "coverage": share,
                    "accuracy": self.coverage.accuracy_at(share),
                    "accuracy_interval": self.coverage.interval_at(share),
                }
                for share in SHOWN_COVERAGES
            ],
            "classes": [asdict(metrics) for metrics in self.classes],
            "confusion": self.evaluation.confusion.tolist(),
            "most_confused": [asdict(pair) for pair in self.confused[:NUM_LISTED_IMAGES]],
            **{name: self.listed(indices) for name, indices in self.lists().items()},
        }
        if self.binary is not None:
            curves = self.binary.curves
            values |= {
                "positive": self.class_names[curves.positive],
                "auc": curves.auc,
                "auc_interval": self.binary.auc_interval,
                "average_precision": curves.average_precision,
                "average_precision_interval": self.binary.average_precision_interval,
            }
        point, decision = self.evaluation.at_threshold, self.evaluation.decision
        if point is not None and decision is not None:
            bounds = point_intervals(self.classes, positive=decision.positive, accuracy=self.intervals.accuracy)
            values |= {"threshold": point.threshold, "operating_point": {**point.to_dict(), "intervals": bounds}}
        if self.evaluation.unsure is not None and self.when_sure is not None:
            values |= {
                "unsure_below": self.evaluation.unsure.confidence,
                **self.when_sure.named(refused="unsure", answered="sure"),
            }
        if self.evaluation.unknown is not None and self.when_known is not None:
            values |= {
                "unknown_beyond": self.evaluation.unknown.limit,
                **self.when_known.named(refused="unknown", answered="known"),
            }
        values |= custom_to_dict(self.evaluation.custom_metrics, self.custom_metric_intervals)
        if self.temperature is not None and self.calibrated is not None:
            values |= {
                "temperature": self.temperature,
                "calibration_error_at_temperature": self.calibrated.error,
                "calibration_error_at_temperature_interval": self.calibrated.interval,
            }
        return values

    def __str__(self) -> str:
        """The metrics for people, in lines."""
        return describe_analysis(self)

    def lists(self) -> dict[str, Int64[Tensor, " m"]]:
        predictions = self.evaluation.predictions
        return {
            "top_losses": highest_losses(predictions, NUM_LISTED_IMAGES),
            "least_confident_correct": least_confident_correct(predictions, NUM_LISTED_IMAGES),
            "most_confident_wrong": most_confident_wrong(predictions, NUM_LISTED_IMAGES),
        }

    def listed(self, indices: Int64[Tensor, " m"]) -> list[dict[str, Any]]:
        predictions = self.evaluation.predictions
        return [
            {
                "index": index,
                **({} if self.paths is None else {"path": self.paths[index]}),
                "label": self.class_names[int(predictions.labels[index])],
                "prediction": self.class_names[int(predictions.predicted[index])],
                "probability": float(predictions.confidence[index]),
                "loss": float(predictions.losses[index]),
            }
            for index in indices.tolist()
        ]


def analyse(
    evaluation: Evaluation,
    class_names: Sequence[str],
    *,
    held_out: Predictions | None = None,
    paths: Sequence[str] | None = None,
    groups: Sequence[int] | None = None,
) -> Analysis:
    """All metrics of a split, from its evaluation.

    Args:
        class_names: in the order of the labels.
        held_out: predictions of images that were neither trained on nor are scored here, to fit the temperature on,
            where there are at least MIN_TEMPERATURE_IMAGES.
        paths: of the scored images' files, if they have any.
        groups: a number for each image, equal for those that belong together, by which all intervals are, too; None:
            each is for itself.
    """
    predictions = evaluation.predictions
    numbers = None if groups is None else np.array(groups)
    has_enough = held_out is not None and len(held_out.labels) >= MIN_TEMPERATURE_IMAGES
    temperature = fit_temperature(held_out) if held_out is not None and has_enough else None
    intervals = figure_intervals(evaluation, numbers)
    return Analysis(
        evaluation=evaluation,
        class_names=tuple(class_names),
        intervals=intervals,
        top2_accuracy=top_accuracy(predictions, 2),
        overall=overall_metrics(evaluation.confusion, class_names),
        binary=_analyse_binary(evaluation, intervals),
        classes=class_metrics(predictions, class_names, numbers),
        confused=confused_pairs(evaluation.confusion, class_names),
        calibration=evaluation.calibration if numbers is None else calibrate(predictions, groups=numbers),
        coverage=cover(predictions, numbers),
        temperature=temperature,
        calibrated=None if temperature is None else calibrate(at_temperature(predictions, temperature), groups=numbers),
        paths=None if paths is None else tuple(paths),
        groups=None if groups is None else tuple(groups),
    )


def _analyse_binary(evaluation: Evaluation, intervals: FigureIntervals) -> BinaryAnalysis | None:
    curves, areas = evaluation.binary, intervals.areas
    return None if curves is None or areas is None else BinaryAnalysis(curves, *areas)
