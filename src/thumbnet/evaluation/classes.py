"""Metrics of each class, and which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64
from torch import Tensor

from thumbnet.evaluation.class_intervals import ClassIntervals, class_intervals
from thumbnet.evaluation.predictions import Predictions, StoredPredictions


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of a class. `precision` is 0 if it is never predicted; `recall` and `f1` are None if it has no image."""

    class_name: str
    num_images: int
    precision: float
    recall: float | None
    f1: float | None
    intervals: ClassIntervals

    def with_intervals(self, intervals: ClassIntervals) -> ClassMetrics:
        """The same metrics with intervals that are nowhere narrower than these, which come from groups of images: of
        groups that are all answered alike, a bootstrap knows nothing."""
        return replace(self, intervals=self.intervals.widened(intervals))


@dataclass(frozen=True)
class ConfusedPair:
    """How many images of the class `truth` are predicted as `prediction`, and which share of that class they are."""

    truth: str
    prediction: str
    num_images: int
    share: float


def metrics_by_class(
    predictions: Predictions | StoredPredictions, class_names: Sequence[str]
) -> tuple[ClassMetrics, ...]:
    """The metrics of every class, in the order of their names; each image counts for itself in their intervals."""
    labels, predicted, num_classes = predictions.labels.numpy(), predictions.predicted.numpy(), len(class_names)
    right, answered, there = (
        np.bincount(classes, minlength=num_classes).tolist()
        for classes in (labels[labels == predicted], predicted, labels)
    )
    return tuple(
        ClassMetrics(
            class_name=name,
            num_images=num_there,
            precision=num_right / num_answered if num_answered else 0.0,
            recall=num_right / num_there if num_there else None,
            f1=2 * num_right / (num_answered + num_there) if num_there else None,
            intervals=class_intervals(num_right, num_answered, num_there),
        )
        for name, num_right, num_answered, num_there in zip(class_names, right, answered, there, strict=True)
    )


def confused_pairs(confusion: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """The pairs of classes that are confused at all, the most frequent first; `confusion` has the truth by row."""
    pairs = [
        ConfusedPair(class_names[truth], class_names[prediction], int(count), float(count / confusion[truth].sum()))
        for (truth, prediction), count in np.ndenumerate(confusion)
        if truth != prediction and count > 0
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.num_images))


def summed_confusion(runs: Sequence[Predictions | StoredPredictions], *, num_classes: int) -> Int64[np.ndarray, "k k"]:
    """The sum of several runs' confusion matrices, truth by row."""
    cells = np.concatenate([run.labels.numpy() * num_classes + run.predicted.numpy() for run in runs])
    counts: Int64[np.ndarray, " k2"] = np.bincount(cells, minlength=num_classes**2).astype(np.int64)
    return counts.reshape(num_classes, num_classes)


def top_accuracy(predictions: Predictions, k: int = 2) -> float:
    """The share of images whose label is among the `k` most probable classes."""
    return float(is_in_top(predictions, k).double().mean())


def is_in_top(predictions: Predictions, k: int = 2) -> Bool[Tensor, " n"]:
    """Of each image, whether its label is among the `k` most probable classes."""
    ranked = predictions.logits.topk(min(k, predictions.logits.shape[1]), dim=1).indices
    return (ranked == predictions.labels[:, None]).any(dim=1)


def highest_losses(predictions: Predictions, num_images: int) -> Int64[Tensor, " m"]:
    """Indices of the images with the highest loss, highest first."""
    return predictions.losses.argsort(descending=True, stable=True)[:num_images]


def least_confident_correct(predictions: Predictions, num_images: int) -> Int64[Tensor, " m"]:
    """Indices of the images that are predicted right with the least confidence, least first."""
    right = (predictions.predicted == predictions.labels).nonzero().flatten()
    return right[predictions.confidence[right].argsort(stable=True)][:num_images]


def most_confident_wrong(predictions: Predictions, num_images: int) -> Int64[Tensor, " m"]:
    """Indices of the images that are predicted wrong with the most confidence, most first."""
    wrong = (predictions.predicted != predictions.labels).nonzero().flatten()
    return wrong[predictions.confidence[wrong].argsort(descending=True, stable=True)][:num_images]
