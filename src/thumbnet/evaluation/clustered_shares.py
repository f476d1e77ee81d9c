"""How sure a mean is whose values belong together: of images of one group, or of one image under many corruptions."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, Int64

from thumbnet.evaluation.intervals import Interval, Z, accuracy_interval, mean_interval, widest


def clustered_interval(
    values: Float64[np.ndarray, " n"], clusters: Int64[np.ndarray, " n"], *, num_parts: int = 1
) -> Interval:
    """Wilson's interval, at CONFIDENCE_LEVEL, of the mean of values from 0 to 1, of as many answers, right or
    wrong, as would be as sure if each were for itself.

    That number follows from the variance of the mean over whole clusters. It is that of the clusters where all agree
    with the mean, of which a variance knows nothing, and never above that of all answers. Source: Korn and Graubard,
    "Confidence intervals for proportions with small expected number of positive counts estimated from survey data"
    (1998, Survey Methodology 24:193).

    Args:
        clusters: a number for each value, equal for those that belong together.
        num_parts: answers that each value is the mean of.
    """
    mean = float(values.mean())
    _, places = np.unique(clusters, return_inverse=True)
    num_clusters = int(places.max()) + 1
    variance = _variance_of_mean(values - mean, places, num_clusters)
    num_alone = num_clusters if variance == 0 else min(num_parts * len(values), mean * (1 - mean) / variance)
    low, high = accuracy_interval(mean, num_alone)
    return low, high


def clustered_error(values: Float64[np.ndarray, " n"], clusters: Int64[np.ndarray, " n"]) -> float:
    """The standard error of the values' mean, by whole clusters; 0 of a single one."""
    _, places = np.unique(clusters, return_inverse=True)
    return math.sqrt(_variance_of_mean(values - values.mean(), places, int(places.max()) + 1))


def mean_interval_by_groups(
    values: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"] | None
) -> Interval | None:
    """That of `mean_interval`, nowhere narrower than by whole groups; `groups` None: each value is for itself."""
    own = mean_interval(values)
    if own is None or groups is None:
        return own
    mean, arm = float(values.mean()), Z * clustered_error(values, groups)
    return widest(own, (max(0.0, mean - arm), mean + arm))


def _variance_of_mean(
    residuals: Float64[np.ndarray, " n"], places: Int64[np.ndarray, " n"], num_clusters: int
) -> float:
    """That of the values' mean, from the sums of each cluster's residuals; 0 of a single cluster."""
    if num_clusters < 2:
        return 0.0
    sums = np.bincount(places, weights=residuals, minlength=num_clusters)
    num_values = len(residuals)
    of_few = num_clusters / (num_clusters - 1) * (num_values - 1) / num_values  # 1 where each is for itself
    return of_few * float((sums**2).sum()) / num_values**2
