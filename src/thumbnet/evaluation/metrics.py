"""Metrics of a model on a split: accuracy, loss, confusion matrix, and which images it gets wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor, nn

from thumbnet.data.dataset import Dataset
from thumbnet.data.several_labels import refuse_several_labels
from thumbnet.errors import ConfigError, NonFiniteLogitsError
from thumbnet.evaluation.binary import BinaryCurves, OperatingPoint, binary_curves, margins_of, rarer_class
from thumbnet.evaluation.binary_intervals import auc_interval, average_precision_interval
from thumbnet.evaluation.calibration import Calibration, calibrate
from thumbnet.evaluation.classes import summed_confusion
from thumbnet.evaluation.custom_intervals import MetricInterval, custom_metric_intervals
from thumbnet.evaluation.custom_metrics import custom_metrics
from thumbnet.evaluation.intervals import Interval, accuracy_interval, mean_interval
from thumbnet.evaluation.overall import OverallIntervals, balanced_accuracies, overall_intervals, overall_metrics
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.models.decision import Decision
from thumbnet.models.outputs import check_num_classes
from thumbnet.models.unknown import Unknown
from thumbnet.models.unsure import Unsure


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on one split.

    `accuracy` is a fraction; `loss` the mean negative log-likelihood; `confusion` int64 [K,K], truth by row and
    prediction by column; `predictions` are of every image, in the split's order. `positive` is, of two classes, the one
    that curves and thresholds are about: by default the one with fewer training images; None of more classes.
    `decision` is how the predictions were made of the logits, and `unsure` and `unknown` when the answer is none of the
    classes, as in a card: the metrics are those of the likeliest classes all the same. Where it may be unknown,
    `distances` has each image's.
    """

    split: str
    num_images: int
    accuracy: float
    loss: float
    confusion: Int64[np.ndarray, "k k"]
    predictions: Predictions
    positive: int | None = None
    decision: Decision | None = None
    unsure: Unsure | None = None
    unknown: Unknown | None = None
    distances: Float[np.ndarray, " n"] | None = None

    @cached_property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images."""
        return float(balanced_accuracies(self.confusion[None])[0])

    @cached_property
    def binary(self) -> BinaryCurves | None:
        """The curves of two classes; None of more, or where all images are of one."""
        if self.positive is None:
            return None
        return binary_curves(self.predictions.logits, self.predictions.labels, positive=self.positive)

    @cached_property
    def accuracy_interval(self) -> Interval:
        """Wilson's, at CONFIDENCE_LEVEL."""
        return accuracy_interval(self.accuracy, self.num_images)

    @cached_property
    def loss_interval(self) -> Interval | None:
        """A normal one, at CONFIDENCE_LEVEL; None of a single image."""
        return mean_interval(self.predictions.losses.double().numpy())

    @cached_property
    def overall_intervals(self) -> OverallIntervals:
        """Those of the metrics over all classes."""
        return overall_intervals(self.confusion)

    @cached_property
    def area_intervals(self) -> tuple[Interval, Interval] | None:
        """Those of the area under the ROC curve and of the average precision, where there are curves."""
        if self.binary is None:
            return None
        margins = margins_of(self.predictions.logits, positive=self.binary.positive)
        is_positive = (self.predictions.labels == self.binary.positive).numpy()
        return auc_interval(margins, is_positive), average_precision_interval(margins, is_positive)

    @cached_property
    def calibration(self) -> Calibration:
        """How far the probabilities can be trusted."""
        return calibrate(self.predictions)

    @cached_property
    def at_threshold(self) -> OperatingPoint | None:
        """The answers at the decision's threshold; None without one, or where all images are of one class."""
        return None if self.binary is None or self.decision is None else self.binary.at_margin(self.decision.margin)

    def decided_by(self, decision: Decision | None) -> Evaluation:
        """The same logits, answered by this decision."""
        return summarise_predictions(
            self.predictions.decided_by(decision), split=self.split, positive=self.positive, decision=decision
        )

    @cached_property
    def custom_metrics(self) -> dict[str, float | None]:
        """The metrics that users registered, by name; None where one is not defined."""
        return custom_metrics(self.predictions)

    @cached_property
    def custom_metric_intervals(self) -> dict[str, MetricInterval]:
        """Those of the users' metrics that are defined, by name."""
        return custom_metric_intervals(self.predictions, self.custom_metrics)


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    split: str = "test",
    *,
    decision: Decision | None = None,
    positive: int | None = None,
) -> Evaluation:
    """Score every image of a split in one view, normalised with the dataset's mean and std; answered by the `decision`,
    as a card has it, or with the likeliest class. `positive` is as in `Evaluation`; None: the default.

    Raises:
        ConfigError: no such split, or an image may have several labels (see `evaluate_labels`); ModelError: the model
            has another number of classes than the dataset; NonFiniteLogitsError: it gives NaN or infinity.
    """
    refuse_several_labels(dataset, "evaluate compares each image with its label", hint="call evaluate_labels")
    predictions = predict_split(model, dataset.split(split), mean=dataset.mean, std=dataset.std)
    check_num_classes(predictions.logits, dataset.num_classes)
    _check_finite(predictions.logits)
    if positive is None and dataset.num_classes == 2:
        positive = rarer_class(dataset.train.labels)
    return summarise_predictions(predictions.decided_by(decision), split=split, positive=positive, decision=decision)


def scorers(dataset: Dataset, *splits: str) -> dict[str, Callable[[nn.Module], Evaluation]]:
    """Functions that evaluate a model on these splits, for `fit` to call after every epoch.

    Raises:
        ConfigError: no such split, `train`, which the history tells of anyway, or an image may have several labels.
    """
    refuse_several_labels(dataset, "scorers compare each image with its label", hint="call label_scorers")
    for split in splits:
        if split == "train":
            raise ConfigError("score has 'train', which the history tells of anyway", hint="score val or test")
        dataset.split(split)
    return {split: partial(_evaluate_on, dataset, split) for split in splits}


def _evaluate_on(dataset: Dataset, split: str, model: nn.Module) -> Evaluation:
    return evaluate(model, dataset, split)


def _check_finite(logits: Float[Tensor, "n k"]) -> None:
    num_broken = int((~logits.isfinite()).any(dim=1).sum())
    if num_broken:
        raise NonFiniteLogitsError(
            f"the model's logits of {num_broken:,} of {len(logits):,} images are not finite: NaN or infinite",
            hint="train it again with a lower learning rate: its weights, or the maps that they give, are too large",
        )


def summarise_predictions(
    predictions: Predictions, *, split: str, positive: int | None = None, decision: Decision | None = None
) -> Evaluation:
    """The metrics of existing predictions, which were made by the `decision`, if there is one. Of two classes
    `positive` is then its class, and by default the one with fewer images here."""
    labels, predicted = predictions.labels.numpy(), predictions.predicted.numpy()
    num_classes = predictions.logits.shape[1]
    if decision is not None:
        positive = decision.positive
    elif positive is None and num_classes == 2:
        positive = rarer_class(predictions.labels)
    return Evaluation(
        split=split,
        num_images=len(labels),
        accuracy=float((labels == predicted).mean()),
        loss=float(predictions.losses.mean()),
        confusion=summed_confusion([predictions], num_classes=num_classes),
        predictions=predictions,
        positive=positive,
        decision=decision,
    )


def standard_error(accuracy: float, num_images: int) -> float:
    """Binomial standard error of an accuracy, both as fractions, on `num_images` images."""
    return math.sqrt(accuracy * (1 - accuracy) / num_images)


def card_metrics(evaluation: Evaluation, class_names: Sequence[str]) -> dict[str, float]:
    """What a model's card keeps of its test split; `ece` is the expected calibration error."""
    return {
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "ece": evaluation.calibration.error,
        "num_test": evaluation.num_images,
        **metrics_over_classes(evaluation, class_names),
    }


def metrics_over_classes(evaluation: Evaluation, class_names: Sequence[str]) -> dict[str, float]:
    """The metrics of a test split that unequal classes do not flatter, as metrics.json and the card name them."""
    overall, curves = overall_metrics(evaluation.confusion, class_names), evaluation.binary
    metrics = {
        "test_balanced_accuracy": overall.balanced_accuracy,
        "test_macro_f1": overall.macro_f1,
        "test_mcc": overall.mcc,
        "commonest_share": overall.commonest_share,
    }
    if curves is not None:
        metrics |= {"test_auc": curves.auc, "test_average_precision": curves.average_precision}
    return metrics


def intervals_of_metrics(evaluation: Evaluation) -> dict[str, Interval]:
    """The interval of each metric of a test split, at CONFIDENCE_LEVEL, as metrics.json names them."""
    overall, areas = evaluation.overall_intervals, evaluation.area_intervals
    intervals: dict[str, Interval] = {
        "test_accuracy_interval": evaluation.accuracy_interval,
        "test_balanced_accuracy_interval": overall.balanced_accuracy,
        "test_macro_f1_interval": overall.macro_f1,
        "test_mcc_interval": overall.mcc,
        "ece_interval": evaluation.calibration.interval,
    }
    if evaluation.loss_interval is not None:
        intervals["test_loss_interval"] = evaluation.loss_interval
    if areas is not None:
        intervals |= {"test_auc_interval": areas[0], "test_average_precision_interval": areas[1]}
    return intervals


def misclassified(predictions: Predictions) -> Int64[Tensor, " m"]:
    """Indices of the images whose predicted class is not their label, the highest loss first."""
    wrong = (predictions.predicted != predictions.labels).nonzero().flatten()
    return wrong[predictions.losses[wrong].argsort(descending=True, stable=True)]
