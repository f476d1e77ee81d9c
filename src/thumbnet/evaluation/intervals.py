"""How sure measured shares are: accuracies, precision, recall, F1. Without SciPy, which a light installation lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64

CONFIDENCE_LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2)  # standard errors of a normal interval's arm

Interval = tuple[float, float]  # its lowest and its highest value


def accuracy_interval(accuracy: float, num_images: float) -> Interval:
    """Wilson's interval, at CONFIDENCE_LEVEL, of an accuracy (a fraction) that was measured on so many images.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    """
    spread = Z * Z / num_images
    centre = (accuracy + spread / 2) / (1 + spread)
    arm = Z * math.sqrt(accuracy * (1 - accuracy) / num_images + spread / (4 * num_images)) / (1 + spread)
    return max(0.0, centre - arm), min(1.0, centre + arm)


def share_interval(num_right: int, num_images: int) -> Interval | None:
    """Wilson's interval of a share, as `accuracy_interval`; None where it is of no image."""
    return accuracy_interval(num_right / num_images, num_images) if num_images else None


def mean_interval(values: Float64[np.ndarray, " n"]) -> Interval | None:
    """A normal interval, at CONFIDENCE_LEVEL, of the mean of values that are 0 or more; None of a single one."""
    if len(values) < 2:
        return None
    mean, arm = float(values.mean()), Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return max(0.0, mean - arm), mean + arm


def widest(*intervals: Interval) -> Interval:
    """From the lowest to the highest value of any."""
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def f1_interval(num_right: int, num_answered: int, num_there: int) -> Interval | None:
    """The interval of a class's F1, at CONFIDENCE_LEVEL; None where no image is of the class or answered as it.

    F1 is 2 J / (1 + J), where J is the share of the right ones among the images that are of the class, are answered as
    it, or both. J is a proportion, and Wilson's bounds of it give those of F1. Source: Lam, Gopal and Qian, "Confidence
    intervals for the F1 score: a comparison of four methods" (2023, arXiv:2309.14621), Wilson's indirect method.

    Args:
        num_right: images of the class that are answered as it.
        num_answered: all that are answered as it; num_there: all that are of it.
    """
    bounds = share_interval(num_right, num_answered + num_there - num_right)
    return None if bounds is None else (_f1_of(bounds[0]), _f1_of(bounds[1]))


def _f1_of(share: float) -> float:
    return 2 * share / (1 + share)


def balanced_accuracy_interval(recalls: Sequence[tuple[int, int]]) -> Interval:
    """The interval, at CONFIDENCE_LEVEL, of the mean recall of classes, from Wilson's intervals; of each how many
    images are right, and of how many."""
    shares = [num_right / num_images for num_right, num_images in recalls]
    intervals = [accuracy_interval(share, num) for share, (_, num) in zip(shares, recalls, strict=True)]
    return interval_of_mean(shares, intervals)


def interval_of_mean(
    shares: Sequence[float],
    intervals: Sequence[Interval],
    weights: Sequence[float] | None = None,
    *,
    lowest: float = 0.0,
) -> Interval:
    """The interval of the mean of shares, or of their differences, that are measured on different images, each with its
    interval at the same level.

    Args:
        weights: how much each counts; None: all the same.
        lowest: the least that the mean can be: -1 of differences.

    The arms of the intervals, squared and added. Source: Zou and Donner, "Construction of confidence limits about
    effect measures: a general approach" (2008, Statistics in Medicine 27:1693).
    """
    known = [1.0] * len(shares) if weights is None else list(weights)
    total, weighted, below, above = math.fsum(known), [], 0.0, 0.0
    for share, (low, high), weight in zip(shares, intervals, known, strict=True):
        weighted.append(weight * share)
        below += (weight * (share - low)) ** 2
        above += (weight * (high - share)) ** 2
    mean = math.fsum(weighted) / total
    return max(lowest, mean - math.sqrt(below) / total), min(1.0, mean + math.sqrt(above) / total)
