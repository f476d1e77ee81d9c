"""Metrics of a split whose images may have several labels, or none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64

from thumbnet.data.class_counts import Baseline, baseline
from thumbnet.evaluation.calibration import Calibration, reliability
from thumbnet.evaluation.class_intervals import ClassIntervals, class_intervals
from thumbnet.evaluation.classes import ClassMetrics
from thumbnet.evaluation.clustered_shares import mean_interval_by_groups
from thumbnet.evaluation.intervals import Interval, widest
from thumbnet.evaluation.label_bootstrap import label_class_intervals
from thumbnet.evaluation.label_intervals import label_intervals, label_precision_intervals
from thumbnet.evaluation.label_predictions import LabelPredictions, StoredLabels
from thumbnet.evaluation.label_text import describe_labels
from thumbnet.models.label_decision import LabelDecision


@dataclass(frozen=True)
class LabelMetrics(ClassMetrics):
    """Metrics of a label: those of a class, of the images that have it against the others. `average_precision` and its
    interval are None if no image has it, or all have; `threshold` is the probability from which it is answered, None if
    that is not known, or differs from image to image."""

    average_precision: float | None
    average_precision_interval: Interval | None
    threshold: float | None


@dataclass(frozen=True)
class LabelEvaluation:
    """A model's metrics on a split whose images may have several labels.

    `accuracy` is the fraction of images of which all labels are found, and no other; `loss` the mean negative
    log-likelihood a label. `groups` are numbers of the images, equal for those that belong together, by which the
    intervals then are, too; None: each is for itself.
    """

    split: str
    class_names: tuple[str, ...]
    predictions: LabelPredictions
    groups: tuple[int, ...] | None = None

    @property
    def num_images(self) -> int:
        return len(self.predictions.labels)

    @cached_property
    def accuracy(self) -> float:
        return float(self.predictions.right.double().mean())

    @cached_property
    def loss(self) -> float:
        return float(self.predictions.losses.mean())

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Those of `figures`, at CONFIDENCE_LEVEL; nowhere narrower than by whole groups, where images belong
        together."""
        own = label_intervals(self.predictions)
        if self.groups is None:
            return own
        by_group = label_intervals(self.predictions, np.array(self.groups))
        return {name: widest(bounds, by_group[name]) for name, bounds in own.items()}

    @cached_property
    def loss_interval(self) -> Interval | None:
        """A normal one, at CONFIDENCE_LEVEL; None of a single image."""
        groups = None if self.groups is None else np.array(self.groups)
        return mean_interval_by_groups(self.predictions.losses.double().numpy(), groups)

    @cached_property
    def mean_average_precision(self) -> float | None:
        """Over the labels that some images have and others have not; None where there is no such label."""
        found = [each.average_precision for each in self.classes if each.average_precision is not None]
        return float(np.mean(found)) if found else None

    @cached_property
    def hamming_loss(self) -> float:
        """The fraction of all (image, label) pairs that are answered wrong."""
        return float((self.predictions.predicted != self.predictions.labels).double().mean())

    @cached_property
    def micro_f1(self) -> float:
        """F1 over all (image, label) pairs; 0 where no label is there and none is answered."""
        return float(_f1(self._counts.sum(axis=1)))

    @cached_property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that are there or are answered; 0 where there is none."""
        is_there = self._counts.any(axis=0)
        return float(_f1(self._counts)[is_there].mean()) if is_there.any() else 0.0

    @property
    def figures(self) -> dict[str, float]:
        """The metrics over all labels, by name; without the mean average precision where there is none."""
        mean = self.mean_average_precision
        return {
            "accuracy": self.accuracy,
            **({} if mean is None else {"mean_average_precision": mean}),
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "hamming_loss": self.hamming_loss,
        }

    @cached_property
    def classes(self) -> tuple[LabelMetrics, ...]:
        """The metrics of every label, in the order of their names."""
        decision = self.predictions.known_decision
        precisions = self._precision_intervals()
        by_group = None if self.groups is None else label_class_intervals(self.predictions, np.array(self.groups))
        return tuple(
            self._label(
                index,
                threshold=None if decision is None else decision.thresholds[index],
                precision_interval=precisions[index],
                by_group=None if by_group is None else by_group[index],
            )
            for index in range(len(self.class_names))
        )

    @cached_property
    def calibration(self) -> Calibration:
        """How well the labels' probabilities foretell that they are there: over all (image, label) pairs, where the
        "accuracy" of a bin is the share of pairs whose label is there."""
        predictions = self.predictions
        is_there = predictions.labels.flatten().bool().numpy()
        num_labels = len(self.class_names)
        numberings = [np.arange(self.num_images), *([] if self.groups is None else [np.array(self.groups)])]
        return reliability(
            predictions.probabilities.double().flatten().numpy(),
            is_there,
            observations=[np.repeat(numbers, num_labels) for numbers in numberings],
        )

    @cached_property
    def baseline(self) -> Baseline:
        """What always answering the commonest set of labels would score."""
        return baseline(self.predictions.labels, self.class_names)

    def decided_by(self, decision: LabelDecision | None) -> LabelEvaluation:
        """The same logits, answered by this decision."""
        predictions = LabelPredictions(self.predictions.logits, self.predictions.labels, decision)
        return LabelEvaluation(self.split, self.class_names, predictions)

    @cached_property
    def _counts(self) -> Float64[np.ndarray, "3 k"]:
        """Of each label: found, answered wrongly, missed."""
        truth, answered = self.predictions.labels.numpy() == 1, self.predictions.predicted.numpy() == 1
        pairs = (truth & answered, ~truth & answered, truth & ~answered)
        return np.stack([pair.sum(axis=0) for pair in pairs]).astype(np.float64)

    def _precision_intervals(self) -> list[Interval | None]:
        own = label_precision_intervals(self.predictions)
        if self.groups is None:
            return list(own)
        by_group = label_precision_intervals(self.predictions, np.array(self.groups))
        return [
            None if bounds is None or wider is None else widest(bounds, wider)
            for bounds, wider in zip(own, by_group, strict=True)
        ]

    def _label(
        self,
        index: int,
        *,
        threshold: float | None,
        precision_interval: Interval | None,
        by_group: ClassIntervals | None,
    ) -> LabelMetrics:
        found, wrong, missed = self._counts[:, index]
        curves = self.predictions.curves(index)
        is_there = found + missed > 0
        intervals = class_intervals(int(found), int(found + wrong), int(found + missed))
        if by_group is not None:
            intervals = intervals.widened(by_group)
        return LabelMetrics(
            class_name=self.class_names[index],
            num_images=int(found + missed),
            average_precision=None if curves is None else curves.average_precision,
            average_precision_interval=precision_interval,
            precision=float(found / max(1, found + wrong)),
            recall=float(found / (found + missed)) if is_there else None,
            f1=float(_f1(self._counts[:, index])) if is_there else None,
            threshold=threshold,
            intervals=intervals,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "num_images": self.num_images,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "loss_interval": self.loss_interval,
            "mean_average_precision": self.mean_average_precision,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "hamming_loss": self.hamming_loss,
            **{f"{name}_interval": bounds for name, bounds in self.intervals.items()},
            "calibration_error": self.calibration.error,
            "calibration_error_interval": self.calibration.interval,
            "commonest_labels": self.baseline.class_name,
            "commonest_share": self.baseline.accuracy,
            "classes": [asdict(each) for each in self.classes],
        }

    def __str__(self) -> str:
        """The metrics for people, in lines."""
        return describe_labels(self)


def label_evaluation_of(stored: StoredLabels, class_names: tuple[str, ...]) -> LabelEvaluation:
    """The metrics of stored predictions of a test split."""
    return LabelEvaluation("test", class_names, stored.predictions)


def metrics_of_labels(evaluation: LabelEvaluation) -> dict[str, float]:
    """The metrics of a test split as metrics.json and the card name them."""
    mean = evaluation.mean_average_precision
    return {
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "num_test": evaluation.num_images,
        "test_micro_f1": evaluation.micro_f1,
        "test_macro_f1": evaluation.macro_f1,
        "test_hamming_loss": evaluation.hamming_loss,
        "ece": evaluation.calibration.error,
        "commonest_share": evaluation.baseline.accuracy,
        **({} if mean is None else {"test_mean_average_precision": mean}),
    }


def intervals_of_label_metrics(evaluation: LabelEvaluation) -> dict[str, Interval]:
    """The interval of each metric of a test split, at CONFIDENCE_LEVEL, as metrics.json names them."""
    intervals = {f"test_{name}_interval": bounds for name, bounds in evaluation.intervals.items()}
    if evaluation.loss_interval is not None:
        intervals["test_loss_interval"] = evaluation.loss_interval
    return {**intervals, "ece_interval": evaluation.calibration.interval}


def _f1(counts: Float64[np.ndarray, "3 *k"]) -> Float64[np.ndarray, "*k"]:
    """F1 of numbers found, answered wrongly and missed; 0 where all are 0."""
    found, wrong, missed = counts
    scores: Float64[np.ndarray, "*k"] = np.asarray(2 * found / np.maximum(1, 2 * found + wrong + missed), np.float64)
    return scores
