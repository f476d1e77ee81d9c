"""Images that stand in several parts of a dataset, equal or nearly: for each, the one that is most like it.

Equal images are found by their bytes, nearly equal ones as duplicates.py compares images, larger ones than 32 pixels
reduced to that. Only images of different parts are compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from thumbnet.data.descriptions import FINE_SIDE, ImagesByPlace
from thumbnet.data.digests import digests_of, first_equals
from thumbnet.data.duplicates import find_duplicates_between
from thumbnet.data.statistics import images_at_once
from thumbnet.data.streamed import is_streamed

MAX_PAIRS = 300_000_000  # of images that are compared; of more, a part of those after the first part is searched
NEARLY = 0.999999  # the greatest likeness of two images that are not equal


@dataclass(frozen=True)
class AlikePair:
    """Two images by their indices among those of all parts, that of the earlier part first; `likeness` is 1 where they
    are equal pixel by pixel, else the correlation of their detail; `flipped` if one is like the flipped other."""

    first: int
    second: int
    likeness: float
    flipped: bool = False


class Alike(NamedTuple):
    """Every image that is there more than once, in the pair in which it is most alike; and how many images of the parts
    after the first were searched for."""

    pairs: frozenset[AlikePair]
    num_searched: int


def find_alike(parts: Sequence[UInt8[Tensor, "_ c h w"]], *, with_flips: bool) -> Alike:
    """The images that stand in several of the parts.

    Of more than MAX_PAIRS pairs, a sample of the images after the first part is searched for, always the same; equal
    images are found all the same.

    Args:
        with_flips: whether an image and its flipped image show the same.
    """
    numbers = torch.cat([torch.full((len(images),), number) for number, images in enumerate(parts)])
    digests = np.concatenate([digests_of(images) for images in parts])
    first_of = first_equals(digests, numbers.numpy())  # of equal images of a part
    first_ones = torch.from_numpy(np.flatnonzero(first_of == np.arange(len(first_of))))
    searched = _searched(first_ones, numbers)
    pairs = list(_equal_pairs(digests, first_ones.numpy()))
    small = small_images(parts, searched)
    for pair in find_duplicates_between(small, numbers[searched], with_flips=with_flips):
        first, second = int(searched[pair.first]), int(searched[pair.second])
        pairs.append(AlikePair(first, second, min(pair.likeness, NEARLY), pair.flipped))
    later = searched[numbers[searched] > 0].numpy()
    return Alike(
        frozenset(most_alike(pairs, equal_to({end for pair in pairs for end in (pair.first, pair.second)}, first_of))),
        int(np.bincount(first_of)[later].sum()),
    )


def _equal_pairs(digests: UInt8[np.ndarray, "n 16"], first_ones: Int64[np.ndarray, " m"]) -> Iterator[AlikePair]:
    """Of equal images of several parts, the first of each part, in pairs."""
    first_of = first_equals(digests[first_ones])
    repeated = np.flatnonzero(np.bincount(first_of, minlength=1) > 1)
    for ones in equal_to(repeated.tolist(), first_of).values():
        for first, second in combinations(first_ones[ones].tolist(), 2):
            yield AlikePair(first, second, 1.0)


def equal_to(ends: Collection[int], first_of: Int64[np.ndarray, " n"]) -> dict[int, list[int]]:
    """The images that are equal to each of `ends`, in order; each of these is the first of its own."""
    order = np.argsort(first_of, kind="stable")
    wanted = np.array(sorted(ends), np.int64)
    starts, stops = (np.searchsorted(first_of[order], wanted, side=side) for side in ("left", "right"))
    return {
        end: order[start:stop].tolist()
        for end, start, stop in zip(wanted.tolist(), starts.tolist(), stops.tolist(), strict=True)
    }


def _searched(first_ones: Int64[Tensor, " m"], numbers: Int64[Tensor, " n"]) -> Int64[Tensor, " s"]:
    """The images to compare: all, or a sample of those after the first part where there would be too many pairs."""
    later = first_ones[numbers[first_ones] > 0]
    largest = MAX_PAIRS // max(1, len(first_ones))
    if len(later) <= largest:
        return first_ones
    order = torch.randperm(len(later), generator=torch.Generator().manual_seed(0))
    return torch.cat([first_ones[numbers[first_ones] == 0], later[order[:largest]].sort().values])


def most_alike(pairs: Sequence[AlikePair], twins: Mapping[int, Sequence[int]]) -> set[AlikePair]:
    """For each image of a pair, and each that is equal to it in its part, the pair in which it is most alike."""
    best: dict[tuple[bool, int], AlikePair] = {}
    for pair in pairs:
        for first in twins[pair.first]:
            _keep(best, (False, first), replace(pair, first=first))
        for second in twins[pair.second]:
            _keep(best, (True, second), replace(pair, second=second))
    return set(best.values())


def _keep(best: dict[tuple[bool, int], AlikePair], key: tuple[bool, int], pair: AlikePair) -> None:
    known = best.get(key)
    if known is None or (known.likeness, -known.first, -known.second) < (pair.likeness, -pair.first, -pair.second):
        best[key] = pair


def small_images(parts: Sequence[UInt8[Tensor, "_ c h w"]], searched: Int64[Tensor, " s"]) -> ImagesByPlace:
    """Some of the images of all parts in no more than FINE_SIDE pixels a side; from the disk as they are asked for."""
    if not any(is_streamed(images) for images in parts):
        return torch.cat([reduced(images) for images in parts])[searched]
    return _SmallFromDisk(torch.cat([*parts]), searched)


class _SmallFromDisk:
    """Images on the disk, reduced when they are asked for."""

    def __init__(self, images: UInt8[Tensor, "n c h w"], searched: Int64[Tensor, " s"]) -> None:
        self._images, self._searched = images, searched

    def __len__(self) -> int:
        return len(self._searched)

    def __getitem__(self, places: Int64[Tensor, " m"], /) -> UInt8[Tensor, "m c h2 w2"]:
        return reduced(self._images[self._searched[places]])


def reduced(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h2 w2"]:
    """The images in no more than FINE_SIDE pixels a side."""
    height, width = images.shape[2:]
    if max(height, width) <= FINE_SIDE:
        return images
    size = (min(height, FINE_SIDE), min(width, FINE_SIDE))
    chunks = images.split(images_at_once(images))
    return torch.cat([F.adaptive_avg_pool2d(chunk.float(), size).round().to(torch.uint8) for chunk in chunks])
