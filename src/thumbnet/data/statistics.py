"""Mean and standard deviation of a dataset's pixels, by which its images are normalised."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.data.streamed import chunks_of
from thumbnet.errors import DataError

CHUNK_PIXELS = 1000 * 32 * 32  # so the working copy of one channel stays within a processor's cache: 1 MB

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class ChannelStatistics:
    """Per channel, of pixels scaled to 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def images_at_once(images: UInt8[Tensor, "n c h w"]) -> int:
    """How many images to work on at a time: those of CHUNK_PIXELS, so that working copies stay small."""
    return max(1, CHUNK_PIXELS // (images.shape[2] * images.shape[3]))


def channel_statistics(images: UInt8[Tensor, "n c h w"]) -> ChannelStatistics:
    """Mean and population deviation of each channel over all pixels of all images, exact to the last rounding.

    Counting how often each of the 256 levels occurs is exact, in integers, and no slower than sums in chunks.
    """
    assert images.numel() > 0
    num_channels = images.shape[1]
    counts = torch.zeros(num_channels, 256, dtype=torch.int64)
    for chunk in chunks_of(images, images_at_once(images)):
        for channel in range(num_channels):
            counts[channel] += torch.bincount(chunk[:, channel].flatten(), minlength=256)
    moments = [_mean_and_std(row) for row in counts.tolist()]
    return ChannelStatistics(mean=tuple(mean for mean, _ in moments), std=tuple(std for _, std in moments))


def usable_statistics(images: UInt8[Tensor, "n c h w"]) -> tuple[ChannelStatistics, str]:
    """`channel_statistics` by which images can be normalised, and a sentence for people where that took a change.

    A channel that has the same level in every image cannot be divided by its deviation of 0: it is divided by 1.

    Raises:
        DataError: all channels are so: every image shows the same single colour.
    """
    statistics = channel_statistics(images)
    constant = [place for place, std in enumerate(statistics.std) if std == 0]
    if not constant:
        return statistics, ""
    if len(constant) == len(statistics.std):
        raise DataError(
            "every training image shows the same single colour", hint="check the images: there is nothing to learn"
        )
    names = " and ".join(COLOURS[place] for place in constant)
    remark = f"In every training image, {names} has the same level: what would be its deviation of 0 is taken as 1."
    return replace(statistics, std=tuple(std or 1.0 for std in statistics.std)), remark


def _mean_and_std(counts: list[int]) -> tuple[float, float]:
    """Of levels 0..255 that occur `counts` times, divided by 255; Python's integers hold the sums exactly."""
    num_pixels = sum(counts)
    total = sum(level * count for level, count in enumerate(counts))
    total_of_squares = sum(level * level * count for level, count in enumerate(counts))
    variance = (num_pixels * total_of_squares - total * total) / (num_pixels * num_pixels)
    return total / num_pixels / 255, math.sqrt(variance) / 255
