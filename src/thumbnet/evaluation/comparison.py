"""Models on the same images: how far their accuracies differ, how sure that is, and on which images they disagree."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Int64
from scipy.stats import binomtest
from torch import Tensor

from thumbnet.evaluation.binary_intervals import AreaDifference, paired_auc_difference
from thumbnet.evaluation.intervals import interval_of_mean
from thumbnet.evaluation.label_predictions import StoredLabels
from thumbnet.evaluation.predictions import StoredPredictions

CONFIDENCE_LEVEL = 0.95
INTERVAL_METHOD = "Newcombe (1998), method 10"
TEST_METHOD = "McNemar's exact test"
BALANCED_METHOD = "that of each class, combined as Zou and Donner (2008) do"

Stored: TypeAlias = StoredPredictions | StoredLabels


@dataclass(frozen=True)
class Interval:
    """A confidence interval of CONFIDENCE_LEVEL."""

    low: float
    high: float


@dataclass(frozen=True)
class BalancedDifference:
    """A model's balanced accuracy less that of a baseline on the same images, fractions, and the interval that holds it
    at CONFIDENCE_LEVEL."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class RunMetrics:
    """A run's accuracy and cost: `accuracy` on test images and its `standard_error` are fractions, `macs` are of one
    image, `train_s` are seconds of training alone; `mean_average_precision` is there where an image may have several
    labels, and some have one that others have not, `balanced_accuracy`, the mean of the classes' accuracies, of a run
    whose images have one label each."""

    name: str
    path: str
    model: str
    num_params: int
    macs: int
    num_images: int
    accuracy: float
    standard_error: float
    train_s: float
    epochs: int
    mean_average_precision: float | None = None
    balanced_accuracy: float | None = None


@dataclass(frozen=True)
class PairedComparison:
    """A model, the other, against a baseline on the same images.

    `difference` is the other's accuracy less the baseline's, a fraction, and `interval` holds it at CONFIDENCE_LEVEL.
    `p_value` is of McNemar's test; `holm_p_value` is corrected for all comparisons that were made together.
    `only_baseline` and `only_other` are the indices int64 of the images that this model gets right and its rival wrong:
    those first on which both are surest of themselves, by the confidence of the less sure one. `balanced` compares the
    balanced accuracies; None where each class has as many images, as these are then the accuracies, and where an image
    may have several labels. `area` compares the areas under the ROC curve of two classes; None of more, where all
    images are of one class, and where a run of an earlier version did not keep the probabilities of both.
    """

    num_images: int
    num_both_right: int
    num_both_wrong: int
    only_baseline: Int64[Tensor, " b"]
    only_other: Int64[Tensor, " c"]
    difference: float
    interval: Interval
    p_value: float
    holm_p_value: float
    area: AreaDifference | None = None
    balanced: BalancedDifference | None = None


def compare_with_baseline(baseline: Stored, others: Sequence[Stored]) -> tuple[PairedComparison, ...]:
    """Each of `others` against `baseline`; all are of the same images in the same order. Where an image may have
    several labels, a model gets it right with all of them."""
    assert all(torch.equal(other.labels, baseline.labels) for other in others)
    splits = [(_surest(baseline, other, of=baseline), _surest(baseline, other, of=other)) for other in others]
    p_values = [mcnemar_p_value(len(only_baseline), len(only_other)) for only_baseline, only_other in splits]
    corrected = holm_p_values(p_values)
    comparisons = []
    for other, (only_baseline, only_other), p_value, holm in zip(others, splits, p_values, corrected, strict=True):
        num_both_right = int((baseline.right & other.right).sum())
        num_both_wrong = int((~baseline.right & ~other.right).sum())
        comparisons.append(
            PairedComparison(
                num_images=len(baseline),
                num_both_right=num_both_right,
                num_both_wrong=num_both_wrong,
                only_baseline=only_baseline,
                only_other=only_other,
                difference=(len(only_other) - len(only_baseline)) / len(baseline),
                interval=paired_interval(num_both_right, len(only_baseline), len(only_other), num_both_wrong),
                p_value=p_value,
                holm_p_value=holm,
                area=_area_difference(baseline, other),
                balanced=_balanced_difference(baseline, other),
            )
        )
    return tuple(comparisons)


def _area_difference(baseline: Stored, other: Stored) -> AreaDifference | None:
    if isinstance(baseline, StoredLabels) or isinstance(other, StoredLabels):
        return None
    probabilities, is_positive = (baseline.probabilities, other.probabilities), (baseline.labels == 1).numpy()
    if probabilities[0] is None or probabilities[1] is None or probabilities[0].shape[1] != 2:
        return None
    if is_positive.all() or not is_positive.any():
        return None
    first, second = (each.log().numpy() for each in probabilities if each is not None)
    return paired_auc_difference(first[:, 1] - first[:, 0], second[:, 1] - second[:, 0], is_positive)


def _balanced_difference(baseline: Stored, other: Stored) -> BalancedDifference | None:
    """The mean over the classes that have images of how far the accuracies differ on them."""
    if isinstance(baseline, StoredLabels) or isinstance(other, StoredLabels):
        return None
    num_images = baseline.labels.bincount()
    of_classes = [baseline.labels == label for label in num_images.nonzero().flatten().tolist()]
    if len(set(num_images[num_images > 0].tolist())) < 2:
        return None
    differences, intervals = [], []
    for is_of_class in of_classes:
        before, after = baseline.right[is_of_class], other.right[is_of_class]
        only_baseline, only_other = int((before & ~after).sum()), int((after & ~before).sum())
        found = paired_interval(int((before & after).sum()), only_baseline, only_other, int((~before & ~after).sum()))
        differences.append((only_other - only_baseline) / len(before))
        intervals.append((found.low, found.high))
    return BalancedDifference(statistics.fmean(differences), *interval_of_mean(differences, intervals, lowest=-1.0))


def mcnemar_p_value(num_only_baseline: int, num_only_other: int) -> float:
    """Two-sided p of "either model is as likely as the other to be the only one that is right".

    McNemar's test in its exact form, the binomial test of the images that one alone gets right, whatever their number:
    it is never too sure, and for few images so cautious that the interval may leave out 0 where p is above 0.05.
    Source: McNemar, "Note on the sampling error of the difference between correlated proportions" (1947).
    """
    num_disputed = num_only_baseline + num_only_other
    return float(binomtest(num_only_other, num_disputed).pvalue) if num_disputed else 1.0


def paired_interval(both_right: int, only_baseline: int, only_other: int, both_wrong: int) -> Interval:
    """The interval, at CONFIDENCE_LEVEL, of the other's accuracy less the baseline's, from the four counts of images.

    Wilson's interval of each accuracy, squared and added with the correlation of the two; of use from a few images on,
    and never outside -1 to 1. Source: Newcombe, "Improved confidence intervals for the difference between binomial
    proportions based on paired data" (1998, Statistics in Medicine 17:2635), method 10.
    """
    num_images = both_right + only_baseline + only_other + both_wrong
    down_other, up_other = _wilson_arms(both_right + only_other, num_images)
    down_baseline, up_baseline = _wilson_arms(both_right + only_baseline, num_images)
    phi = _correlation(both_right, only_baseline, only_other, both_wrong)
    difference = (only_other - only_baseline) / num_images
    return Interval(
        difference - _third_side(down_other, up_baseline, phi),
        difference + _third_side(up_other, down_baseline, phi),
    )


def holm_p_values(p_values: Sequence[float]) -> list[float]:
    """The p values of several tests, corrected so that the chance of any false alarm among them stays at the level.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979).
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _surest(baseline: Stored, other: Stored, *, of: Stored) -> Int64[Tensor, " m"]:
    """Indices of the images that only `of`, one of the two, gets right: highest first by the lower confidence."""
    alone: Bool[Tensor, " n"] = of.right & (baseline.right ^ other.right)
    indices = alone.nonzero().flatten()
    sureness = torch.minimum(baseline.confidence, other.confidence)[indices]
    return indices[sureness.argsort(descending=True, stable=True)]


def _wilson_arms(num_right: int, num_images: int) -> tuple[float, float]:
    """How far Wilson's interval of an accuracy reaches below it and above it."""
    interval = binomtest(num_right, num_images).proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    accuracy = num_right / num_images
    return accuracy - float(interval.low), float(interval.high) - accuracy


def _correlation(both_right: int, only_baseline: int, only_other: int, both_wrong: int) -> float:
    """Phi of right and wrong, where positive moved towards 0 by Newcombe's continuity correction; 0 where a model is
    always right or always wrong."""
    right, wrong = both_right + only_baseline, only_other + both_wrong
    other_right, other_wrong = both_right + only_other, only_baseline + both_wrong
    product = right * wrong * other_right * other_wrong
    if product == 0:
        return 0.0
    determinant: float = both_right * both_wrong - only_baseline * only_other
    if determinant > 0:
        determinant = max(determinant - (right + wrong) / 2, 0)
    return determinant / math.sqrt(product)


def _third_side(first: float, second: float, cosine: float) -> float:
    """Of a triangle with these sides and the cosine of the angle between them."""
    return math.sqrt(max(first**2 - 2 * cosine * first * second + second**2, 0))
