"""Balanced accuracy where only is known which images are answered right, and not what the others are answered as."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from thumbnet.evaluation.clustered_shares import clustered_interval
from thumbnet.evaluation.intervals import Interval, balanced_accuracy_interval, interval_of_mean


class Balanced(NamedTuple):
    """A balanced accuracy, the mean recall of the classes, with its interval at CONFIDENCE_LEVEL."""

    value: float
    interval: Interval


def balanced_accuracy_of(
    right: Bool[np.ndarray, " n"], labels: Int64[np.ndarray, " n"], *, num_classes: int
) -> Balanced | None:
    """The balanced accuracy of images that are answered right or not; None where a class has no image."""
    num_images = np.bincount(labels, minlength=num_classes)
    if not num_images.all():
        return None
    num_right = np.bincount(labels[right], minlength=num_classes)
    recalls = list(zip(num_right.tolist(), num_images.tolist(), strict=True))
    return Balanced(float((num_right / num_images).mean()), balanced_accuracy_interval(recalls))


def balanced_interval_of_shares(
    shares: Float64[np.ndarray, " n"], labels: Int64[np.ndarray, " n"], *, num_classes: int, num_parts: int
) -> Interval | None:
    """The interval of the mean over the classes where each image's share is the mean of `num_parts` answers; None where
    a class has no image."""
    of_classes = [shares[labels == label] for label in range(num_classes)]
    if not all(len(own) for own in of_classes):
        return None
    intervals = [clustered_interval(own, np.arange(len(own)), num_parts=num_parts) for own in of_classes]
    return interval_of_mean([float(own.mean()) for own in of_classes], intervals)
