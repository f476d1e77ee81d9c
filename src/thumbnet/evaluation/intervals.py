"""How sure a measured accuracy is. Without SciPy, which a light installation lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

CONFIDENCE_LEVEL = 0.95


def accuracy_interval(accuracy: float, num_images: int) -> tuple[float, float]:
    """Wilson's interval, at CONFIDENCE_LEVEL, of an accuracy (a fraction) that was measured on so many images.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE_LEVEL) / 2)
    spread = z * z / num_images
    centre = (accuracy + spread / 2) / (1 + spread)
    arm = z * math.sqrt(accuracy * (1 - accuracy) / num_images + spread / (4 * num_images)) / (1 + spread)
    return max(0.0, centre - arm), min(1.0, centre + arm)


def balanced_accuracy_interval(recalls: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The interval, at CONFIDENCE_LEVEL, of the mean recall of classes; of each how many images are right, and of how
    many.

    The arms of Wilson's intervals, squared and added. Source: Zou and Donner, "Construction of confidence limits about
    effect measures: a general approach" (2008, Statistics in Medicine 27:1693).
    """
    means, below, above = [], 0.0, 0.0
    for num_right, num_images in recalls:
        recall = num_right / num_images
        low, high = accuracy_interval(recall, num_images)
        means.append(recall)
        below += (recall - low) ** 2
        above += (high - recall) ** 2
    mean = math.fsum(means) / len(means)
    return max(0.0, mean - math.sqrt(below) / len(means)), min(1.0, mean + math.sqrt(above) / len(means))
