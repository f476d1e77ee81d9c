"""How sure an expected calibration error is: a bootstrap of the gaps in its bins."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from thumbnet.evaluation.intervals import Interval
from thumbnet.evaluation.overall import NUM_DRAWS, around


def calibration_interval(
    gaps: Float64[np.ndarray, "n b"], error: float, *, one_more: Float64[np.ndarray, " b"], seed: int = 0
) -> Interval:
    """The interval of an expected calibration error, at CONFIDENCE_LEVEL: of what other images of the same kind, and as
    many of them, would give.

    The error is the sum of the bins' gaps without their signs. NUM_DRAWS times, the gaps are drawn from the normal
    distribution that they have by the central limit theorem, with the covariance of the observations' parts in them.
    The interval reaches as far below and above the error as the draws' percentiles lie from their median: chance adds
    to every error that it does not hide, and once more in a draw.

    Args:
        gaps: what each observation adds to the gap of each bin, truth less probability; an observation is an image, or
            all images of a group. Their sums without signs add up to the error.
        one_more: the variance that one observation more would add to each bin, whose truth is not known: where all
            there are were right, the next may still not be.
    """
    num_observations = len(gaps)
    if num_observations < 2:
        return 0.0, 1.0
    sums = gaps.sum(axis=0)
    covariance = num_observations / (num_observations - 1) * (gaps.T @ gaps - np.outer(sums, sums) / num_observations)
    draws = np.random.default_rng(seed).multivariate_normal(
        sums, covariance + np.diag(one_more), size=NUM_DRAWS, method="eigh"
    )
    return around(error, np.abs(draws).sum(axis=1), lowest=0.0)
