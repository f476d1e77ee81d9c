"""Images that are there twice: pixel by pixel, or nearly (resized, recompressed, recoloured, perhaps mirrored).

Two images are taken for one another where their fine detail correlates: each image less its blurred self, all channels
together. The whole images will not do: any two pictures of a ship on a grey sea correlate above 0.9, and their detail
does not. Every pair is first compared by its channels' coarse means, which matrix products do in seconds, and only
likely pairs in detail. How alike is too alike depends on the data: handwritten digits are all more alike than
photographs. So a pair must be closer than a share of the distance at which images of this data have their tenth
neighbour where they are most crowded: the tenth, since copies of the image itself may be among the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

COARSE_SIDE = 8
FINE_SIDE = 32  # larger images are reduced to it
BLUR = 5  # pixels, the side of the square whose mean is taken away
BLOCK_IMAGES = 2000  # so a block of pairs takes 16 MB
NUM_SAMPLED = 500  # images by which that distance is measured
NEIGHBOUR = 10
CROWDED_SHARE = 0.05  # of the images
# Both shares were set by looking at pairs of CIFAR-10, where they mean correlations of 0.90 and 0.78: almost all closer
# pairs are true ones, and below a detail's correlation of 0.7 pictures of the same kind of thing begin.
COARSE_SHARE = 0.9
FINE_SHARE = 0.6
MIN_DETAIL = 1.0  # root mean square, in levels of 255: below, there is no detail that could correlate

Describe = Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n d"]]


@dataclass(frozen=True)
class DuplicatePair:
    """Two images by their indices, the lower one first; `likeness` is 1 where they are equal pixel by pixel, else the
    correlation of their detail; `mirrored` where one is like the other's mirror image."""

    first: int
    second: int
    likeness: float
    mirrored: bool = False


def find_duplicates(images: UInt8[Tensor, "n c h w"], *, mirror: bool) -> tuple[DuplicatePair, ...]:
    """The pairs of images that are equal or nearly so, the most alike first.

    Of several images that are equal, each is paired with the first of them only, and only that one with others.

    Args:
        mirror: whether an image and its mirror image show the same.
    """
    equal = _equal_pairs(images)
    later = {pair.second for pair in equal}
    distinct = torch.tensor([index for index in range(len(images)) if index not in later])
    if len(distinct) < 2:
        return tuple(equal)
    limits = _limit(images, distinct, _coarse, COARSE_SHARE), _limit(images, distinct, _fine, FINE_SHARE)
    near = {(pair.first, pair.second): pair for pair in _near_pairs(images, distinct, limits, mirrored=False)}
    for pair in _near_pairs(images, distinct, limits, mirrored=True) if mirror else ():
        known = near.get((pair.first, pair.second))
        if known is None or known.likeness < pair.likeness:
            near[pair.first, pair.second] = pair
    return tuple(sorted([*equal, *near.values()], key=lambda pair: (-pair.likeness, pair.first, pair.second)))


def _equal_pairs(images: UInt8[Tensor, "n c h w"]) -> list[DuplicatePair]:
    first_of: dict[bytes, int] = {}
    pairs = []
    for index, image in enumerate(images.numpy()):
        first = first_of.setdefault(image.tobytes(), index)
        if first != index:
            pairs.append(DuplicatePair(first, index, 1.0))
    return pairs


def _near_pairs(
    images: UInt8[Tensor, "n c h w"], distinct: Int64[Tensor, " m"], limits: tuple[float, float], *, mirrored: bool
) -> Iterator[DuplicatePair]:
    """Among the images at `distinct`, which differ; `limits` are of the coarse and the fine correlation."""
    coarse_limit, fine_limit = limits
    blocks = distinct.split(BLOCK_IMAGES)
    coarse = [_coarse(images[block]) for block in blocks]
    others = [_coarse(images[block].flip(3)) for block in blocks] if mirrored else coarse
    for number, rows in enumerate(coarse):
        for other_number in range(number, len(blocks)):
            likely = rows @ others[other_number].T > coarse_limit
            if number == other_number:
                likely = likely.triu(diagonal=1)
            places = likely.nonzero()
            for chunk in places.split(BLOCK_IMAGES):
                first, second = blocks[number][chunk[:, 0]], blocks[other_number][chunk[:, 1]]
                seen = images[second].flip(3) if mirrored else images[second]
                likeness = (_fine(images[first]) * _fine(seen)).sum(dim=1)
                for place in (likeness > fine_limit).nonzero().flatten().tolist():
                    yield DuplicatePair(int(first[place]), int(second[place]), float(likeness[place]), mirrored)


def _limit(images: UInt8[Tensor, "n c h w"], distinct: Int64[Tensor, " m"], describe: Describe, share: float) -> float:
    """The correlation above which a pair is closer than `share` of the distance to a neighbour where it is crowded."""
    generator = torch.Generator().manual_seed(0)
    sample = distinct[torch.randperm(len(distinct), generator=generator)[:NUM_SAMPLED]]
    sampled = describe(images[sample])
    num_nearest = min(NEIGHBOUR + 1, len(distinct))  # the image itself is the first of them
    nearest = torch.full((len(sample), num_nearest), -1.0)
    for block in distinct.split(BLOCK_IMAGES):
        found = torch.cat([nearest, sampled @ describe(images[block]).T], dim=1)
        nearest = found.topk(num_nearest, dim=1).values
    distances = (2 - 2 * nearest[:, -1].double().clamp(-1, 1)).sqrt()  # of unit vectors
    return 1 - (share * float(distances.quantile(CROWDED_SHARE))) ** 2 / 2


def _coarse(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """The means of a grid of squares, less each channel's mean, as unit vectors (zero for a flat image)."""
    means = _at_most(images.float(), COARSE_SIDE).flatten(2)
    return F.normalize((means - means.mean(dim=2, keepdim=True)).flatten(1), dim=1)


def _fine(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """The images less their blurred selves, as unit vectors (shorter for an image without detail)."""
    whole = _at_most(images.float(), FINE_SIDE)
    blurred = F.avg_pool2d(whole, BLUR, stride=1, padding=BLUR // 2, count_include_pad=False)
    detail = (whole - blurred).flatten(1)
    return F.normalize(detail, dim=1, eps=MIN_DETAIL * detail.shape[1] ** 0.5)


def _at_most(images: Float[Tensor, "n c h w"], side: int) -> Float[Tensor, "n c h2 w2"]:
    height, width = images.shape[2:]
    return F.adaptive_avg_pool2d(images, (min(height, side), min(width, side)))
