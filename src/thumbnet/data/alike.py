"""Images that stand in several parts of a dataset, equal or nearly: for each, the one that is most like it.

Equal images are found by their bytes, nearly equal ones as duplicates.py compares images, larger ones than 32 pixels
reduced to that. Only images of different parts are compared.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from thumbnet.data.duplicates import FINE_SIDE, find_duplicates_between
from thumbnet.data.statistics import images_at_once

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
    digests = [digest(image) for images in parts for image in images.numpy()]
    twins: dict[tuple[int, bytes], list[int]] = defaultdict(list)  # equal images of a part
    for place, key in enumerate(zip(numbers.tolist(), digests, strict=True)):
        twins[key].append(place)
    first_ones = torch.tensor(sorted(equal[0] for equal in twins.values()))
    searched = _searched(first_ones, numbers)
    small = torch.cat([reduced(images) for images in parts])
    pairs = list(_equal_pairs(twins))
    for pair in find_duplicates_between(small[searched], numbers[searched], with_flips=with_flips):
        first, second = int(searched[pair.first]), int(searched[pair.second])
        pairs.append(AlikePair(first, second, min(pair.likeness, NEARLY), pair.flipped))
    later = searched[numbers[searched] > 0].tolist()
    return Alike(
        frozenset(most_alike(pairs, {equal[0]: equal for equal in twins.values()})),
        sum(len(twins[int(numbers[place]), digests[place]]) for place in later),
    )


def digest(image: UInt8[np.ndarray, "c h w"]) -> bytes:
    """Of its pixels; equal images have equal ones."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _equal_pairs(twins: Mapping[tuple[int, bytes], Sequence[int]]) -> Iterator[AlikePair]:
    """Of equal images of several parts, the first of each part, in pairs."""
    first_ones: dict[bytes, list[int]] = defaultdict(list)
    for (_, digest), places in twins.items():
        first_ones[digest].append(places[0])
    for ones in first_ones.values():
        for first, second in combinations(sorted(ones), 2):
            yield AlikePair(first, second, 1.0)


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


def reduced(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h2 w2"]:
    """The images in no more than FINE_SIDE pixels a side."""
    height, width = images.shape[2:]
    if max(height, width) <= FINE_SIDE:
        return images
    size = (min(height, FINE_SIDE), min(width, FINE_SIDE))
    chunks = images.split(images_at_once(images))
    return torch.cat([F.adaptive_avg_pool2d(chunk.float(), size).round().to(torch.uint8) for chunk in chunks])
