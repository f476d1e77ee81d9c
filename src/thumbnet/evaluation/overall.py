"""Metrics that unequal classes do not flatter, each computed from the confusion matrix alone, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, balanced_accuracy_interval

NUM_DRAWS = 1_000  # of the bootstrap
DRAWS_AT_ONCE = 100  # 100 matrices of 100 classes are 8 MB
TAILS = (50 * (1 - CONFIDENCE_LEVEL), 50 * (1 + CONFIDENCE_LEVEL))  # in percent


@dataclass(frozen=True)
class OverallMetrics:
    """Metrics of a split over all of its classes.

    `balanced_accuracy` is the mean recall of the classes that have images; `macro_f1` the mean F1 of the classes that
    have images or are predicted; `mcc` Matthews' correlation coefficient, -1 to 1, and 0 where it is not defined, since
    all images are of one class or all predictions are. Always answering `commonest_class`, the one with the most images
    (of several the first), would be right for the fraction `commonest_share`.
    """

    balanced_accuracy: float
    macro_f1: float
    mcc: float
    commonest_class: str
    commonest_share: float


@dataclass(frozen=True)
class OverallIntervals:
    """The lowest and highest value of each metric, at CONFIDENCE_LEVEL."""

    balanced_accuracy: tuple[float, float]
    macro_f1: tuple[float, float]
    mcc: tuple[float, float]


def overall_metrics(confusion: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> OverallMetrics:
    """The metrics of a split of at least one image; `confusion` has the truth by row."""
    num_images = confusion.sum(axis=1)
    commonest = int(num_images.argmax())
    return OverallMetrics(
        balanced_accuracy=float(balanced_accuracies(confusion[None])[0]),
        macro_f1=float(macro_f1s(confusion[None])[0]),
        mcc=float(matthews_coefficients(confusion[None])[0]),
        commonest_class=class_names[commonest],
        commonest_share=float(num_images[commonest] / num_images.sum()),
    )


def overall_intervals(confusion: Int64[np.ndarray, "k k"], *, seed: int = 0) -> OverallIntervals:
    """The intervals: of the balanced accuracy in closed form, of the others by a bootstrap.

    The bootstrap draws the predictions of each class anew, NUM_DRAWS times, and keeps the numbers of images a class.
    Source: Efron, "Bootstrap methods: another look at the jackknife" (1979), percentile intervals.
    """
    generator = np.random.default_rng(seed)
    num_images = confusion.sum(axis=1)
    shares = confusion[num_images > 0] / num_images[num_images > 0, None]
    f1s, coefficients = [], []
    for _ in range(NUM_DRAWS // DRAWS_AT_ONCE):
        drawn = np.zeros((DRAWS_AT_ONCE, *confusion.shape), np.int64)
        drawn[:, num_images > 0] = generator.multinomial(
            num_images[num_images > 0], shares, size=(DRAWS_AT_ONCE, len(shares))
        )
        f1s.append(macro_f1s(drawn))
        coefficients.append(matthews_coefficients(drawn))
    recalls = [(int(confusion[label, label]), int(count)) for label, count in enumerate(num_images) if count]
    return OverallIntervals(
        balanced_accuracy=balanced_accuracy_interval(recalls),
        macro_f1=percentile_interval(np.concatenate(f1s)),
        mcc=percentile_interval(np.concatenate(coefficients)),
    )


def percentile_interval(values: Float64[np.ndarray, " b"]) -> tuple[float, float]:
    """The interval that holds CONFIDENCE_LEVEL of a bootstrap's values, as much left out below as above."""
    low, high = np.percentile(values, TAILS)
    return float(low), float(high)


def balanced_accuracies(confusions: Int64[np.ndarray, "b k k"]) -> Float64[np.ndarray, " b"]:
    """The mean recall of the classes that have images, of each matrix."""
    right, num_images = confusions.diagonal(axis1=1, axis2=2), confusions.sum(axis=2)
    return _mean_of_ratios(right, num_images)


def macro_f1s(confusions: Int64[np.ndarray, "b k k"]) -> Float64[np.ndarray, " b"]:
    """The mean F1 of the classes that have images or are predicted, of each matrix."""
    right = confusions.diagonal(axis1=1, axis2=2)
    return _mean_of_ratios(2 * right, confusions.sum(axis=1) + confusions.sum(axis=2))


def matthews_coefficients(confusions: Int64[np.ndarray, "b k k"]) -> Float64[np.ndarray, " b"]:
    """Matthews' coefficient for any number of classes, of each matrix.

    Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient" (2004).
    """
    truths, predictions = (confusions.sum(axis=axis).astype(np.float64) for axis in (2, 1))
    total = truths.sum(axis=1)
    covariance = total * confusions.trace(axis1=1, axis2=2) - (truths * predictions).sum(axis=1)
    variances = (total**2 - (truths**2).sum(axis=1)) * (total**2 - (predictions**2).sum(axis=1))
    result: Float64[np.ndarray, " b"] = np.divide(
        covariance, np.sqrt(variances), out=np.zeros_like(covariance), where=variances > 0
    )
    return result


def _mean_of_ratios(
    numerators: Int64[np.ndarray, "b k"], denominators: Int64[np.ndarray, "b k"]
) -> Float64[np.ndarray, " b"]:
    """The mean of the ratios whose denominator is not 0."""
    is_there = denominators > 0
    ratios = np.divide(numerators, denominators, out=np.zeros(numerators.shape), where=is_there)
    means: Float64[np.ndarray, " b"] = ratios.sum(axis=1) / is_there.sum(axis=1)
    return means
