"""Metrics that unequal classes do not flatter, each computed from the confusion matrix alone, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Real

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
    """The intervals: of the balanced accuracy in closed form, of the others by a Bayesian bootstrap.

    NUM_DRAWS times, the shares of each class's predictions are drawn from the Dirichlet distribution of their counts,
    with one image more that is spread over the classes which are there: what was never answered may still be. The
    figure's interval reaches as far below and above it as the draws' percentiles lie from their median, since the image
    more moves them all. A plain bootstrap knows no doubt where all answers are alike. Of 200 simulated sets each, its
    intervals and these held the true F1 in 80 and 98 % for 40 and 20 images with 2 and 5 % of mistakes, in 57 and 98 %
    for 20 and 5 with 2 and 10 %, in 94 and 96 % for 300 and 60 with 10 and 20 %. Sources: Rubin, "The Bayesian
    bootstrap" (1981, Annals of Statistics 9:130); for the image more, Perks, "Some observations on inverse probability
    including a new indifference rule" (1947).
    """
    generator = np.random.default_rng(seed)
    num_images = confusion.sum(axis=1)
    has_images = num_images > 0
    is_there = has_images | (confusion.sum(axis=0) > 0)
    counts = confusion[np.ix_(has_images, is_there)] + 1 / is_there.sum()
    f1s, coefficients = [], []
    for _ in range(NUM_DRAWS // DRAWS_AT_ONCE):
        weights = generator.standard_gamma(counts, size=(DRAWS_AT_ONCE, *counts.shape))
        drawn = np.zeros((DRAWS_AT_ONCE, *confusion.shape))
        drawn[np.ix_(range(DRAWS_AT_ONCE), has_images, is_there)] = (
            weights / weights.sum(axis=2, keepdims=True) * num_images[has_images, None]
        )
        f1s.append(macro_f1s(drawn))
        coefficients.append(matthews_coefficients(drawn))
    recalls = [(int(confusion[label, label]), int(count)) for label, count in enumerate(num_images) if count]
    macro_f1, mcc = float(macro_f1s(confusion[None])[0]), float(matthews_coefficients(confusion[None])[0])
    return OverallIntervals(
        balanced_accuracy=balanced_accuracy_interval(recalls),
        macro_f1=around(macro_f1, np.concatenate(f1s), lowest=0.0),
        mcc=around(mcc, np.concatenate(coefficients), lowest=-1.0),
    )


def around(
    value: float, draws: Float64[np.ndarray, " b"], *, lowest: float, highest: float = 1.0
) -> tuple[float, float]:
    """The interval of a value from `lowest` to `highest`; its arms are those of draws around their median."""
    low, high = percentile_interval(draws)
    median = float(np.median(draws))
    return max(lowest, value - (median - low)), min(highest, value + (high - median))


def percentile_interval(values: Float64[np.ndarray, " b"]) -> tuple[float, float]:
    """The interval that holds CONFIDENCE_LEVEL of a bootstrap's values, as much left out below as above."""
    low, high = np.percentile(values, TAILS)
    return float(low), float(high)


def balanced_accuracies(confusions: Real[np.ndarray, "b k k"]) -> Float64[np.ndarray, " b"]:
    """The mean recall of the classes that have images, of each matrix."""
    right, num_images = confusions.diagonal(axis1=1, axis2=2), confusions.sum(axis=2)
    return _mean_of_ratios(right, num_images)


def balanced_accuracy_of_answers(
    labels: Int64[np.ndarray, " n"], answers: Int64[np.ndarray, " n"], *, num_classes: int
) -> float:
    """The same of images with these labels, answered so."""
    cells = np.bincount(labels * num_classes + answers, minlength=num_classes**2)
    return float(balanced_accuracies(cells.reshape(1, num_classes, num_classes))[0])


def macro_f1s(confusions: Real[np.ndarray, "b k k"]) -> Float64[np.ndarray, " b"]:
    """The mean F1 of the classes that have images or are predicted, of each matrix."""
    right = confusions.diagonal(axis1=1, axis2=2)
    return _mean_of_ratios(2 * right, confusions.sum(axis=1) + confusions.sum(axis=2))


def matthews_coefficients(confusions: Real[np.ndarray, "b k k"]) -> Float64[np.ndarray, " b"]:
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
    numerators: Real[np.ndarray, "b k"], denominators: Real[np.ndarray, "b k"]
) -> Float64[np.ndarray, " b"]:
    """The mean of the ratios whose denominator is not 0."""
    is_there = denominators > 0
    ratios = np.divide(numerators, denominators, out=np.zeros(numerators.shape), where=is_there)
    means: Float64[np.ndarray, " b"] = ratios.sum(axis=1) / is_there.sum(axis=1)
    return means
