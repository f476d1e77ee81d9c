"""Images that show little: too dark, too bright, or flat. Brightness is luma in 0..1, as Pillow makes colours grey.

Where much of a class is so (photographs of the night, say), that is the class's way, and only its extremes are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from thumbnet.data.statistics import images_at_once
from thumbnet.data.streamed import chunks_of
from thumbnet.data_check.outliers import DEVIATION_OF_MEDIAN, MAX_DEVIATIONS

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
LOW_SHARE, HIGH_SHARE = 0.01, 0.99  # of its pixels: a dead one does not count, and a small bird in the sky does
# Set by looking at CIFAR-10, of whose 50,000 training images 4 are dark, 1 bright and 8 flat by them.
DARK_BELOW = 0.25  # even its bright pixels (HIGH_SHARE) are darker than this
BRIGHT_ABOVE = 0.7  # even its dark pixels (LOW_SHARE) are brighter than this
FLAT_BELOW = 0.15  # between the two there is less than this

COMMON_SHARE = 0.05  # of a class's images: if more are so, it is the class's way
MIN_IMAGES = 20  # of a class, by which that can be known

ExposureKind = Literal["dark", "bright", "flat"]


@dataclass(frozen=True)
class Exposure:
    """Image by image, from 0 to 1: how bright its dark and its bright pixels are (quantiles LOW_SHARE, HIGH_SHARE)."""

    low: Float[Tensor, " n"]
    high: Float[Tensor, " n"]


@dataclass(frozen=True)
class ExposureIssue:
    """An image by its index, what is wrong with it, and how much so, up to 1."""

    index: int
    kind: ExposureKind
    score: float


def measure_exposure(images: UInt8[Tensor, "n c h w"]) -> Exposure:
    """The brightness of each image's dark and bright pixels."""
    shares = torch.tensor([LOW_SHARE, HIGH_SHARE])
    quantiles = [_luma(chunk).flatten(1).quantile(shares, dim=1) for chunk in chunks_of(images, images_at_once(images))]
    low, high = torch.cat(quantiles, dim=1)
    return Exposure(low, high)


def find_exposure_issues(images: UInt8[Tensor, "n c h w"], labels: Int64[Tensor, " n"]) -> tuple[ExposureIssue, ...]:
    """The images that are too dark, too bright or flat, kind by kind, the worst first; one may be of two kinds."""
    exposure = measure_exposure(images)
    contrast = exposure.high - exposure.low
    found: tuple[tuple[ExposureKind, Tensor, Tensor], ...] = (
        ("dark", exposure.high < DARK_BELOW, 1 - exposure.high),
        ("bright", exposure.low > BRIGHT_ABOVE, exposure.low),
        ("flat", contrast < FLAT_BELOW, 1 - contrast),
    )
    return tuple(
        ExposureIssue(index, kind, float(scores[index]))
        for kind, is_so, scores in found
        for index in _unusual(is_so, scores, labels)
    )


def _unusual(is_so: Bool[Tensor, " n"], scores: Float[Tensor, " n"], labels: Int64[Tensor, " n"]) -> list[int]:
    """The indices of those that are so, the highest scores first; of a class in which many are, only those whose score
    is more than MAX_DEVIATIONS robust deviations above the class's median."""
    kept = is_so.clone()
    for label in labels[is_so].unique().tolist():
        members = labels == label
        if members.sum() >= MIN_IMAGES and is_so[members].float().mean() > COMMON_SHARE:
            own = scores[members]
            deviation = DEVIATION_OF_MEDIAN * (own - own.median()).abs().median()
            kept[members] &= own > own.median() + MAX_DEVIATIONS * deviation
    return [index for index in scores.argsort(descending=True, stable=True).tolist() if kept[index]]


def _luma(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n h w"]:
    scaled = images.float() / 255
    if images.shape[1] == 1:
        return scaled[:, 0]
    return (scaled * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1)
