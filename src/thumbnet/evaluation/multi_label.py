"""Metrics of a split whose images may have several labels, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor, nn

from thumbnet.data.class_counts import Baseline, baseline
from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, NonFiniteLogitsError
from thumbnet.evaluation.calibration import Calibration, reliability
from thumbnet.evaluation.class_intervals import ClassIntervals, class_intervals
from thumbnet.evaluation.class_texts import IN_BRACKETS, class_texts
from thumbnet.evaluation.classes import ClassMetrics
from thumbnet.evaluation.intervals import accuracy_interval
from thumbnet.evaluation.label_predictions import LabelPredictions, StoredLabels
from thumbnet.evaluation.predictions import predict_logits
from thumbnet.models.label_decision import LabelDecision, halves
from thumbnet.models.outputs import check_num_classes
from thumbnet.terminal.table import aligned
from thumbnet.terminal.text import escaped


@dataclass(frozen=True)
class LabelMetrics(ClassMetrics):
    """Metrics of a label: those of a class, of the images that have it against the others. `average_precision` is None
    if no image has it, or all have; `threshold` is the probability from which it is answered, None if that is not
    known, or differs from image to image."""

    average_precision: float | None
    threshold: float | None


@dataclass(frozen=True)
class LabelEvaluation:
    """A model's metrics on a split whose images may have several labels.

    `accuracy` is the fraction of images of which all labels are found, and no other; `loss` the mean negative
    log-likelihood a label. `group_intervals` are those of each label's metrics where images belong together.
    """

    split: str
    class_names: tuple[str, ...]
    predictions: LabelPredictions
    group_intervals: tuple[ClassIntervals, ...] | None = None

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
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's, at CONFIDENCE_LEVEL."""
        return accuracy_interval(self.accuracy, self.num_images)

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
        decision = self.predictions.decision or halves(len(self.class_names))
        are_known = self.predictions.decided is None
        return tuple(
            self._label(index, decision.thresholds[index] if are_known else None)
            for index in range(len(self.class_names))
        )

    @cached_property
    def calibration(self) -> Calibration:
        """How well the labels' probabilities foretell that they are there: over all (image, label) pairs, where the
        "accuracy" of a bin is the share of pairs whose label is there."""
        predictions = self.predictions
        is_there = predictions.labels.flatten().bool().numpy()
        return reliability(predictions.probabilities.double().flatten().numpy(), is_there)

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

    def _label(self, index: int, threshold: float | None) -> LabelMetrics:
        found, wrong, missed = self._counts[:, index]
        curves = self.predictions.curves(index)
        is_there = found + missed > 0
        intervals = class_intervals(int(found), int(found + wrong), int(found + missed))
        if self.group_intervals is not None:
            intervals = intervals.widened(self.group_intervals[index])
        return LabelMetrics(
            class_name=self.class_names[index],
            num_images=int(found + missed),
            average_precision=None if curves is None else curves.average_precision,
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
            "accuracy_interval": self.accuracy_interval,
            "loss": self.loss,
            "mean_average_precision": self.mean_average_precision,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "hamming_loss": self.hamming_loss,
            "calibration_error": self.calibration.error,
            "commonest_labels": self.baseline.class_name,
            "commonest_share": self.baseline.accuracy,
            "classes": [asdict(each) for each in self.classes],
        }

    def __str__(self) -> str:
        """The metrics for people, in lines."""
        low, high = self.accuracy_interval
        known = f"{low:.2%} to {high:.2%}; {escaped(str(self.baseline))}"
        mean = "-" if self.mean_average_precision is None else f"{self.mean_average_precision:.4f}"
        decision = self.predictions.decision or halves(len(self.class_names))
        answered = decision.describe(self.class_names) if self.predictions.decided is None else "as stored"
        table = [("label", "images", "average precision", "precision", "recall", "F1", "threshold")]
        for each in self.classes:
            average = "-" if each.average_precision is None else f"{each.average_precision:.4f}"
            threshold = "-" if each.threshold is None else f"{each.threshold:.4g}"
            name, num_images = escaped(each.class_name), f"{each.num_images:,}"
            table.append((name, num_images, average, *class_texts(each), threshold))
        return "\n".join(
            [
                f"accuracy (all labels right) {self.accuracy:.2%} ({known})",
                f"mean average precision {mean}, micro F1 {self.micro_f1:.2%}, macro F1 {self.macro_f1:.2%}",
                f"labels answered wrong {self.hamming_loss:.2%} (Hamming loss), loss {self.loss:.4f}",
                f"answered {escaped(answered)}",
                "",
                *aligned(table, num_left=1),
                IN_BRACKETS,
            ]
        )


def evaluate_labels(
    model: nn.Module, dataset: Dataset, split: str = "test", *, decision: LabelDecision | None = None
) -> LabelEvaluation:
    """Score every image of a split, as `evaluate` does, where images may have several labels.

    Raises:
        ConfigError: no such split; ModelError: the model has another number of classes than the dataset;
            NonFiniteLogitsError: it gives NaN or infinity.
    """
    logits = predict_logits(model, dataset.split(split).images, mean=dataset.mean, std=dataset.std)
    return score_labels(logits, dataset, split, decision=decision)


def score_labels(
    logits: Float[Tensor, "n k"], dataset: Dataset, split: str, *, decision: LabelDecision | None
) -> LabelEvaluation:
    """Score logits of every image of a split; errors are those of `evaluate_labels`."""
    check_num_classes(logits, dataset.num_classes)
    num_broken = int((~logits.isfinite()).any(dim=1).sum())
    if num_broken:
        raise NonFiniteLogitsError(
            f"the model's logits of {num_broken:,} of {len(logits):,} images are not finite: NaN or infinite",
            hint="train it again with a lower learning rate: its weights, or the maps that they give, are too large",
        )
    return LabelEvaluation(split, dataset.class_names, LabelPredictions(logits, dataset.split(split).labels, decision))


def label_evaluation_of(stored: StoredLabels, class_names: tuple[str, ...]) -> LabelEvaluation:
    """The metrics of stored predictions of a test split."""
    return LabelEvaluation("test", class_names, stored.predictions)


def label_scorers(dataset: Dataset, *splits: str) -> dict[str, Callable[[nn.Module], LabelEvaluation]]:
    """Functions that evaluate a model on these splits, for `fit` to call after every epoch.

    Raises:
        ConfigError: no such split, or `train`, which the history tells of anyway.
    """
    for split in splits:
        if split == "train":
            raise ConfigError("score has 'train', which the history tells of anyway", hint="score val or test")
        dataset.split(split)
    return {split: partial(_evaluate_on, dataset, split) for split in splits}


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


def _evaluate_on(dataset: Dataset, split: str, model: nn.Module) -> LabelEvaluation:
    return evaluate_labels(model, dataset, split)


def _f1(counts: Float64[np.ndarray, "3 *k"]) -> Float64[np.ndarray, "*k"]:
    """F1 of numbers found, answered wrongly and missed; 0 where all are 0."""
    found, wrong, missed = counts
    scores: Float64[np.ndarray, "*k"] = np.asarray(2 * found / np.maximum(1, 2 * found + wrong + missed), np.float64)
    return scores
