"""Two recipes, each trained with several seeds: how far their mean accuracies differ, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from thumbnet.evaluation.aggregate import Aggregate, aggregate, t_quantile
from thumbnet.evaluation.comparison import Interval

WELCH_METHOD = "Welch's t interval and test"


@dataclass(frozen=True)
class MeanComparison:
    """The other recipe against the baseline, by a figure of each run.

    `difference` is the other's mean less the baseline's. `interval` holds it at CONFIDENCE_LEVEL and `p_value` tests
    whether it is 0; both are None where a recipe has a single run, or the runs of each recipe are equal. `paired` is of
    the differences seed by seed, None unless the seeds are the same.
    """

    difference: float
    interval: Interval | None
    p_value: float | None
    paired: Aggregate | None


def compare_means(baseline: Sequence[float], other: Sequence[float], *, is_paired: bool) -> MeanComparison:
    """Compare a figure of two recipes' runs; `is_paired`: the runs at the same place have the same seed.

    Source: Welch, "The generalization of 'Student's' problem when several different population variances are involved"
    (1947).
    """
    first, second = aggregate(baseline), aggregate(other)
    difference = second.mean - first.mean
    paired = aggregate([b - a for a, b in zip(baseline, other, strict=True)]) if is_paired else None
    if first.standard_error is None or second.standard_error is None:
        return MeanComparison(difference, None, None, paired)
    variances = first.standard_error**2, second.standard_error**2
    error = math.sqrt(sum(variances))
    if error == 0:
        return MeanComparison(difference, None, None, paired)
    degrees = error**4 / (variances[0] ** 2 / (first.n - 1) + variances[1] ** 2 / (second.n - 1))
    arm = t_quantile(degrees) * error
    p_value = 2 * float(student.sf(abs(difference) / error, degrees))
    return MeanComparison(difference, Interval(difference - arm, difference + arm), p_value, paired)
