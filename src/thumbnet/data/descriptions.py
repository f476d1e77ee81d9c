"""What images are compared by: the coarse means of a grid of squares, and their fine detail (see duplicates.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

COARSE_SIDE = 8
FINE_SIDE = 32  # larger images are reduced to it
BLUR = 5  # pixels, the side of the square whose mean is taken away
MIN_DETAIL = 1.0  # root mean square, in levels of 255: below, there is no detail that could correlate
KEPT_BYTES = 2**28  # of descriptions
BLOCK_IMAGES = 2000  # so a block of pairs takes 16 MB


@runtime_checkable
class ImagesByPlace(Protocol):
    """Images in memory, or whatever gives those at some places as uint8 [M,C,H,W]."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: Int64[Tensor, " m"], /) -> UInt8[Tensor, "m c h w"]: ...


Describe = Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n d"]]


class CoarseBlocks:
    """The coarse means of blocks of images: kept, unless they take more than KEPT_BYTES."""

    def __init__(self, images: ImagesByPlace, blocks: Sequence[Int64[Tensor, " _"]], *, flipped: bool = False) -> None:
        self.images, self.blocks, self.flipped = images, blocks, flipped
        self.kept: dict[int, Float[Tensor, "b d"]] = {}

    def of(self, number: int) -> Float[Tensor, "b d"]:
        if number not in self.kept:
            images = self.images[self.blocks[number]]
            rows = coarse_means(images.flip(3) if self.flipped else images)
            if 4 * rows.shape[1] * sum(map(len, self.blocks)) > KEPT_BYTES:
                self.kept.clear()
            self.kept[number] = rows
        return self.kept[number]


class FineDetail:
    """The fine detail of images, computed when it is first asked for, and kept, unless it is more than KEPT_BYTES."""

    def __init__(self, images: ImagesByPlace, *, flipped: bool = False) -> None:
        self.images, self.flipped = images, flipped
        self.place_of = torch.full((len(images),), -1)  # in `rows`
        self.rows: Float[Tensor, "k d"] | None = None
        self.num_kept = 0

    def of(self, indices: Int64[Tensor, " m"]) -> Float[Tensor, "m d"]:
        unknown = indices[self.place_of[indices] < 0].unique()
        if self.rows is not None and 4 * self.rows.shape[1] * (self.num_kept + len(unknown)) > KEPT_BYTES:
            self.place_of.fill_(-1)
            self.num_kept, unknown = 0, indices.unique()
        for chunk in unknown.split(BLOCK_IMAGES):
            images = self.images[chunk]
            rows = fine_detail(images.flip(3) if self.flipped else images)
            first, last = self.num_kept, self.num_kept + len(rows)
            if self.rows is None or last > len(self.rows):
                larger = torch.empty(max(last, 2 * first, BLOCK_IMAGES), rows.shape[1])
                if self.rows is not None:
                    larger[:first] = self.rows[:first]
                self.rows = larger
            self.rows[first:last], self.num_kept = rows, last
            self.place_of[chunk] = torch.arange(first, last)
        assert self.rows is not None
        return self.rows[self.place_of[indices]]


def coarse_means(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """The means of a grid of squares, less each channel's mean, as unit vectors (zero for a flat image)."""
    means = _at_most(images.float(), COARSE_SIDE).flatten(2)
    return F.normalize((means - means.mean(dim=2, keepdim=True)).flatten(1), dim=1)


def fine_detail(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """The images less their blurred selves, as unit vectors (shorter for an image without detail)."""
    whole = _at_most(images.float(), FINE_SIDE)
    blurred = F.avg_pool2d(whole, BLUR, stride=1, padding=BLUR // 2, count_include_pad=False)
    detail = (whole - blurred).flatten(1)
    return F.normalize(detail, dim=1, eps=MIN_DETAIL * detail.shape[1] ** 0.5)


def _at_most(images: Float[Tensor, "n c h w"], side: int) -> Float[Tensor, "n c h2 w2"]:
    height, width = images.shape[2:]
    if max(height, width) <= side:
        return images
    return F.adaptive_avg_pool2d(images, (min(height, side), min(width, side)))
