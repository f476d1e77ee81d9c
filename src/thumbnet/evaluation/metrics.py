"""Metrics of a model on a split: accuracy, loss, confusion matrix, and which images it gets wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float, Int64
from sklearn.metrics import accuracy_score, confusion_matrix
from torch import Tensor, nn

from thumbnet.data.dataset import Dataset
from thumbnet.errors import ConfigError, NonFiniteLogitsError
from thumbnet.evaluation.calibration import calibrate
from thumbnet.evaluation.custom_metrics import custom_metrics
from thumbnet.evaluation.predictions import Predictions, predict_split
from thumbnet.models.outputs import check_num_classes


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on one split.

    `accuracy` is a fraction; `loss` the mean negative log-likelihood; `confusion` int64 [K,K], truth by row and
    prediction by column; `predictions` are of every image, in the split's order.
    """

    split: str
    num_images: int
    accuracy: float
    loss: float
    confusion: Int64[np.ndarray, "k k"]
    predictions: Predictions

    @cached_property
    def custom_metrics(self) -> dict[str, float | None]:
        """The metrics that users registered, by name; None where one is not defined."""
        return custom_metrics(self.predictions)


def evaluate(model: nn.Module, dataset: Dataset, split: str = "test") -> Evaluation:
    """Score every image of a split in one view, normalised with the dataset's mean and std.

    Raises:
        ConfigError: no such split; ModelError: the model has another number of classes than the dataset;
            NonFiniteLogitsError: it gives NaN or infinity.
    """
    predictions = predict_split(model, dataset.split(split), mean=dataset.mean, std=dataset.std)
    check_num_classes(predictions.logits, dataset.num_classes)
    _check_finite(predictions.logits)
    return summarise_predictions(predictions, split=split)


def scorers(dataset: Dataset, *splits: str) -> dict[str, Callable[[nn.Module], Evaluation]]:
    """Functions that evaluate a model on these splits, for `fit` to call after every epoch.

    Raises:
        ConfigError: no such split, or `train`, which the history tells of anyway.
    """
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


def summarise_predictions(predictions: Predictions, *, split: str) -> Evaluation:
    """The metrics of existing predictions."""
    labels, predicted = predictions.labels.numpy(), predictions.predicted.numpy()
    num_classes = predictions.logits.shape[1]
    return Evaluation(
        split=split,
        num_images=len(labels),
        accuracy=float(accuracy_score(labels, predicted)),
        loss=float(predictions.losses.mean()),
        confusion=confusion_matrix(labels, predicted, labels=range(num_classes)).astype(np.int64),
        predictions=predictions,
    )


def standard_error(accuracy: float, num_images: int) -> float:
    """Binomial standard error of an accuracy, both as fractions, on `num_images` images."""
    return math.sqrt(accuracy * (1 - accuracy) / num_images)


def card_metrics(evaluation: Evaluation) -> dict[str, float]:
    """What a model's card keeps of its test split; `ece` is the expected calibration error."""
    return {
        "test_accuracy": evaluation.accuracy,
        "test_loss": evaluation.loss,
        "ece": calibrate(evaluation.predictions).error,
        "num_test": evaluation.num_images,
    }


def misclassified(predictions: Predictions) -> Int64[Tensor, " m"]:
    """Indices of the images whose predicted class is not their label, the highest loss first."""
    wrong = (predictions.predicted != predictions.labels).nonzero().flatten()
    return wrong[predictions.losses[wrong].argsort(descending=True, stable=True)]
