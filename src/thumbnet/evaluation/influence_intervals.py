"""How sure figures are that are no share of the images, such as an average precision: from how much each image moves
them.

Source: Jaeckel, "The infinitesimal jackknife" (1972, Bell Laboratories memorandum MM 72-1215-11). Where images belong
together, each group's sum stands for an image. A bootstrap would order the images a thousand times; this does it once.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float64, Int64

from thumbnet.evaluation.intervals import Interval, Z


def influence_interval(
    value: float,
    influences: Float64[np.ndarray, " n"],
    *,
    if_certain: Interval,
    groups: Int64[np.ndarray, " n"] | None = None,
) -> Interval:
    """The interval of a figure between 0 and 1, at CONFIDENCE_LEVEL: normal on the logit scale, so that it stays there.

    Args:
        influences: by how much each image, once more, would change the figure; their sum is 0.
        if_certain: the interval of a figure of 0 or 1, which no image moves.
        groups: a number for each image, equal for those of a group; None: each is for itself.
    """
    from scipy.special import expit, logit

    if not 0 < value < 1:
        return if_certain
    if groups is not None:
        _, places = np.unique(groups, return_inverse=True)
        influences = np.bincount(places, weights=influences)
    num_drawn = len(influences)
    if num_drawn < 2:
        return 0.0, 1.0
    deviation = math.sqrt(num_drawn / (num_drawn - 1) * float((influences**2).sum()))
    arm, centre = Z * deviation / (value * (1 - value)), float(logit(value))
    return float(expit(centre - arm)), float(expit(centre + arm))


def ratio_influences(
    numerators: Float64[np.ndarray, " n"], denominators: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Those of a ratio of sums, from what each image adds to both; the denominators' sum is above 0."""
    whole = denominators.sum()
    influences: Float64[np.ndarray, " n"] = (numerators - numerators.sum() / whole * denominators) / whole
    return influences


def precision_influences(
    scores: Float64[np.ndarray, " n"], is_positive: Bool[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Those of the average precision of images of which some are positive and some are not."""
    order = np.argsort(-scores, kind="stable")
    descending, positive = scores[order], is_positive[order].astype(np.float64)
    num_answered = np.searchsorted(-descending, -descending, side="right")  # at a threshold of this score
    precision = np.cumsum(positive)[num_answered - 1] / num_answered
    num_positives = positive.sum()
    average = float((positive * precision).sum() / num_positives)
    # One image more is answered at the threshold of each positive image that is not above it.
    first_of_score = np.searchsorted(-descending, -descending, side="left")
    gain = _sums_from(positive / num_answered)[first_of_score]
    loss = _sums_from(positive * precision / num_answered)[first_of_score]
    influences = np.empty(len(scores))
    influences[order] = (positive * (precision - average) + positive * gain - loss) / num_positives
    return influences


def _sums_from(values: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Of each place the sum of the values there and after."""
    sums: Float64[np.ndarray, " n"] = np.cumsum(values[::-1])[::-1]
    return sums
