"""How sure the figures of two classes are: intervals, and the difference of two models' areas on the same images.

Source of the areas' variances: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
receiver operating characteristic curves: a nonparametric approach" (1988, Biometrics 44:837); by ranks, as in Sun and
Xu, "Fast implementation of DeLong's algorithm" (2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float64, Int64

from thumbnet.evaluation.binary import average_precisions, cumulated
from thumbnet.evaluation.influence_intervals import influence_interval, precision_influences
from thumbnet.evaluation.intervals import CONFIDENCE_LEVEL, Interval, Z


@dataclass(frozen=True)
class AreaDifference:
    """The second model's area under the ROC curve less the first's, its interval at CONFIDENCE_LEVEL, and the
    two-sided p value of "both are equal"."""

    difference: float
    interval: tuple[float, float]
    p_value: float


def auc_interval(scores: Float64[np.ndarray, " n"], is_positive: Bool[np.ndarray, " n"]) -> tuple[float, float]:
    """The interval of an area, at CONFIDENCE_LEVEL: normal on the logit scale, so that it stays within 0 and 1.

    An area of 1 or 0 has no variance; its interval is then that of as many right answers in a row as the smaller class
    has images (Clopper and Pearson). From one image of a class nothing is known: 0 to 1.
    """
    from scipy.special import expit, logit

    if _smaller_class(is_positive) < 2:
        return 0.0, 1.0
    of_positives, of_negatives = _placements(scores, is_positive)
    area = float(of_positives.mean())
    if area in (0.0, 1.0):
        num_images = _smaller_class(is_positive)
        return proportion_interval(num_images if area else 0, num_images)
    deviation = math.sqrt(_variance_of_mean(of_positives) + _variance_of_mean(of_negatives))
    arm, centre = Z * deviation / (area * (1 - area)), float(logit(area))
    return float(expit(centre - arm)), float(expit(centre + arm))


def paired_auc_difference(
    first: Float64[np.ndarray, " n"], second: Float64[np.ndarray, " n"], is_positive: Bool[np.ndarray, " n"]
) -> AreaDifference:
    """How far the areas of two models differ; `first` and `second` are their scores for the same images, the higher the
    surer of the positive class. With fewer than two images of a class, nothing is known: the interval is -1 to 1.

    Where all images differ alike, as of a model that knows all and one that knows nothing, there is no variance; the
    interval and p are then those of as many equal answers in a row as the smaller class has images.
    """
    placements = [_placements(scores, is_positive) for scores in (first, second)]
    difference = float(placements[1][0].mean() - placements[0][0].mean())
    if _smaller_class(is_positive) < 2:
        return AreaDifference(difference, (-1.0, 1.0), 1.0)
    gains = [later - earlier for earlier, later in zip(*placements, strict=True)]
    deviation = math.sqrt(sum(map(_variance_of_mean, gains)))
    if deviation == 0 and difference:
        num_alike = _smaller_class(is_positive)
        arm = 1 - proportion_interval(num_alike, num_alike)[0]
        bounds = max(-1.0, difference - arm), min(1.0, difference + arm)
        return AreaDifference(difference, bounds, 2 * 0.5**num_alike)
    if deviation == 0:
        return AreaDifference(difference, (difference, difference), 1.0)
    p_value = 2 * NormalDist().cdf(-abs(difference) / deviation)
    return AreaDifference(difference, (difference - Z * deviation, difference + Z * deviation), p_value)


def average_precision_interval(
    scores: Float64[np.ndarray, " n"],
    is_positive: Bool[np.ndarray, " n"],
    groups: Int64[np.ndarray, " n"] | None = None,
) -> Interval:
    """The interval of the average precision, at CONFIDENCE_LEVEL (see `influence_interval`).

    Where no positive image is below another one, no image moves it, and from one image of a class nothing is known:
    the interval is then that of `certain_precision_interval`.

    Args:
        groups: a number for each image, equal for those of a group; None: each is for itself.
    """
    certain = certain_precision_interval(_smaller_class(is_positive))
    if _smaller_class(is_positive) < 2:
        return certain
    num_true, num_false = cumulated(scores, is_positive, np.ones((1, len(scores)), np.int64))
    average = float(average_precisions(num_true, num_false)[0])
    return influence_interval(average, precision_influences(scores, is_positive), if_certain=certain, groups=groups)


def certain_precision_interval(num_in_class: int) -> Interval:
    """The interval of an average precision of 1: that of as many right answers in a row as the smaller class has
    images; of fewer than two, 0 to 1."""
    return (0.0, 1.0) if num_in_class < 2 else proportion_interval(num_in_class, num_in_class)


def proportion_interval(num_right: int, num_images: int) -> tuple[float, float]:
    """The interval of a fraction, at CONFIDENCE_LEVEL, that is never too narrow.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial"
    (1934).
    """
    from scipy.stats import binomtest

    interval = binomtest(num_right, num_images).proportion_ci(CONFIDENCE_LEVEL, method="exact")
    return float(interval.low), float(interval.high)


def _smaller_class(is_positive: Bool[np.ndarray, " n"]) -> int:
    num_positives = int(is_positive.sum())
    return min(num_positives, len(is_positive) - num_positives)


def _placements(
    scores: Float64[np.ndarray, " n"], is_positive: Bool[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " p"], Float64[np.ndarray, " q"]]:
    """Of each positive image the share of the others that are below it, of each other image the share of the positive
    ones that are above it; ties count one half."""
    from scipy.stats import rankdata

    positives, negatives = scores[is_positive], scores[~is_positive]
    ranks = rankdata(scores)
    of_positives = (ranks[is_positive] - rankdata(positives)) / len(negatives)
    of_negatives = 1 - (ranks[~is_positive] - rankdata(negatives)) / len(positives)
    return of_positives, of_negatives


def _variance_of_mean(values: Float64[np.ndarray, " n"]) -> float:
    return float(values.var(ddof=1) / len(values))
