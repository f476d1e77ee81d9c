"""Images that are there twice: pixel by pixel, or nearly (resized, recompressed, recoloured, perhaps flipped).

Two images are taken for one another where their fine detail correlates: each image less its blurred self, all channels
together. The whole images will not do: any two pictures of a ship on a grey sea correlate above 0.9, and their detail
does not. Every pair is first compared by its channels' coarse means, which matrix products do in seconds, and only
likely pairs in detail. How alike is too alike depends on the data: handwritten digits are all more alike than
photographs. So the threshold is a share of the distance to the tenth nearest neighbour, at the 5th percentile: where
images of this data are most crowded. Copies must not set it: the neighbours are counted from where an image's copies
end, at the last gap in its sorted distances, if ten or more images are nearer than a share of the distance to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from thumbnet.data.descriptions import (
    BLOCK_IMAGES,
    COARSE_SIDE,
    KEPT_BYTES,
    CoarseBlocks,
    Describe,
    FineDetail,
    ImagesByPlace,
    coarse_means,
    fine_detail,
)
from thumbnet.data.digests import digests_of, first_equals
from thumbnet.data.streamed import is_streamed

NUM_SAMPLED = 500  # images by which that distance is measured, at least
SAMPLED_PAIRS = (
    4_000_000  # as many more as make so many pairs: on 2,624 solar cells, 500 found 142 or 75 pairs by their order
)
SAMPLED_AT_ONCE = 50  # of them
NEIGHBOUR = 10
CROWDED_SHARE = 0.05  # of the images
# Both shares were set by looking at pairs of CIFAR-10, where they mean correlations of 0.90 and 0.78: almost all closer
# pairs are true ones, and below a detail's correlation of 0.7 pictures of the same kind of thing begin.
COARSE_SHARE = 0.9
FINE_SHARE = 0.6
MOST_RANKED, NUM_RANKED = 2**17, 2**11  # of more images than that, so many neighbours are looked at


@dataclass(frozen=True)
class DuplicatePair:
    """Two images by their indices, the lower one first; `likeness` is 1 where they are equal pixel by pixel, else the
    correlation of their detail; `flipped` if one is like the flipped other."""

    first: int
    second: int
    likeness: float
    flipped: bool = False


def describe_likeness(likeness: float) -> str:
    """The likeness of a pair in words; only of equal images does it read as 1."""
    return "equal" if likeness == 1 else f"{min(likeness, 0.99):.2f} alike"


def find_duplicates(
    images: UInt8[Tensor, "n c h w"], *, with_flips: bool, share: float = FINE_SHARE
) -> tuple[DuplicatePair, ...]:
    """The pairs of images that are equal or nearly so, the most alike first.

    Of several images that are equal, each is paired with the first of them only, and only that one with others. Of
    images on the disk, `num_compared` at most are compared, always the same; equal ones are found all the same.

    Args:
        with_flips: whether an image and its flipped image show the same.
        share: of the distance to the neighbours, at which two images are nearly equal.
    """
    first_of = first_equals(digests_of(images))
    is_first = first_of == np.arange(len(first_of))
    equal = [DuplicatePair(int(first_of[later]), later, 1.0) for later in np.flatnonzero(~is_first).tolist()]
    distinct = torch.from_numpy(np.flatnonzero(is_first))
    if is_streamed(images) and len(distinct) > num_compared(images):
        drawn = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(0))[: num_compared(images)]
        distinct = distinct[drawn.sort().values]
    if len(distinct) < 2:
        return tuple(equal)
    near = _near_pairs_once(images, distinct, _limits(images, distinct, share), with_flips=with_flips)
    return tuple(sorted([*equal, *near], key=lambda pair: (-pair.likeness, pair.first, pair.second)))


def num_compared(images: UInt8[Tensor, "n c h w"]) -> int:
    """How many images of a set are compared with each other: of one on the disk, those whose coarse means are kept."""
    return KEPT_BYTES // (4 * images.shape[1] * COARSE_SIDE**2) if is_streamed(images) else len(images)


def find_near_duplicates(images: ImagesByPlace, *, with_flips: bool) -> tuple[DuplicatePair, ...]:
    """The pairs of images whose detail correlates, as `find_duplicates` judges it, in no order.

    All pairs are compared, and no two images should be equal: copies would set the limits.
    """
    everything = torch.arange(len(images))
    if len(images) < 2:
        return ()
    return tuple(_near_pairs_once(images, everything, _limits(images, everything), with_flips=with_flips))


def find_duplicates_between(
    images: ImagesByPlace, parts: Int64[Tensor, " n"], *, with_flips: bool
) -> tuple[DuplicatePair, ...]:
    """The pairs of images of different `parts` whose detail correlates, as `find_duplicates` judges it, in no order.

    Inside a part no pair is compared, and no two images should be equal there: copies would set the limits.
    """
    everything = torch.arange(len(images))
    if len(parts.unique()) < 2:
        return ()
    return tuple(_near_pairs_once(images, everything, _limits(images, everything), with_flips=with_flips, parts=parts))


def _near_pairs_once(
    images: ImagesByPlace,
    distinct: Int64[Tensor, " m"],
    limits: tuple[float, float],
    *,
    with_flips: bool,
    parts: Int64[Tensor, " n"] | None = None,
) -> list[DuplicatePair]:
    """The pairs that are nearly equal, each once: flipped if they are more alike so."""
    near = {
        (pair.first, pair.second): pair for pair in _near_pairs(images, distinct, limits, flipped=False, parts=parts)
    }
    for pair in _near_pairs(images, distinct, limits, flipped=True, parts=parts) if with_flips else ():
        known = near.get((pair.first, pair.second))
        if known is None or known.likeness < pair.likeness:
            near[pair.first, pair.second] = pair
    return list(near.values())


def _near_pairs(
    images: ImagesByPlace,
    distinct: Int64[Tensor, " m"],
    limits: tuple[float, float],
    *,
    flipped: bool,
    parts: Int64[Tensor, " n"] | None,
) -> Iterator[DuplicatePair]:
    """Among the images at `distinct`, which differ; `limits` are of the coarse and the fine correlation. With `parts`,
    only pairs of different ones."""
    coarse_limit, fine_limit = limits
    by_part = [distinct] if parts is None else [distinct[parts[distinct] == part] for part in parts.unique().tolist()]
    owned = [(owner, block) for owner, inside in enumerate(by_part) for block in inside.split(BLOCK_IMAGES)]
    blocks = [block for _, block in owned]
    coarse = CoarseBlocks(images, blocks)
    others = CoarseBlocks(images, blocks, flipped=True) if flipped else coarse
    detail = FineDetail(images)
    seen = FineDetail(images, flipped=True) if flipped else detail
    for number in range(len(blocks)):
        rows = coarse.of(number)
        for other_number in range(number, len(blocks)):
            if parts is not None and owned[number][0] == owned[other_number][0]:
                continue
            likely = rows @ others.of(other_number).T > coarse_limit
            if number == other_number:
                likely = likely.triu(diagonal=1)
            places = likely.nonzero()
            for chunk in places.split(BLOCK_IMAGES):
                first, second = blocks[number][chunk[:, 0]], blocks[other_number][chunk[:, 1]]
                likeness = (detail.of(first) * seen.of(second)).sum(dim=1)
                for place in (likeness > fine_limit).nonzero().flatten().tolist():
                    yield DuplicatePair(int(first[place]), int(second[place]), float(likeness[place]), flipped)


def _limits(images: ImagesByPlace, distinct: Int64[Tensor, " m"], share: float = FINE_SHARE) -> tuple[float, float]:
    """The coarse and the fine correlation above which a pair is closer than a share of the distance to a neighbour:
    `share` of it in detail, and in the coarse as much more than COARSE_SHARE as `share` is more than FINE_SHARE."""
    coarse_share = COARSE_SHARE * share / FINE_SHARE
    generator = torch.Generator().manual_seed(0)
    num_sampled = max(NUM_SAMPLED, SAMPLED_PAIRS // len(distinct))
    sample = distinct[torch.randperm(len(distinct), generator=generator)[:num_sampled]]
    fine = _sorted_likeness(images, distinct, sample, fine_detail)
    ranks = torch.cat([_neighbour_ranks(_distance(rows)) for rows in fine.split(SAMPLED_AT_ONCE)])
    coarse = _sorted_likeness(images, distinct, sample, coarse_means)
    return _threshold(coarse, ranks, coarse_share), _threshold(fine, ranks, share)


def _sorted_likeness(
    images: ImagesByPlace, distinct: Int64[Tensor, " m"], sample: Int64[Tensor, " s"], describe: Describe
) -> Float[Tensor, "s k"]:
    """Of each of the sampled images to all, the most alike first: that is, as a rule, the image itself; of more than
    MOST_RANKED images, the NUM_RANKED most alike."""
    sampled = describe(images[sample])
    blocks, is_large = distinct.split(BLOCK_IMAGES), len(distinct) > MOST_RANKED
    found, number = list[Tensor](), 0
    for block in blocks:
        found.append(sampled @ describe(images[block]).T)
        number += found[-1].shape[1]
        if is_large and number > 8 * NUM_RANKED:
            found = [torch.cat(found, dim=1).topk(NUM_RANKED, dim=1).values]
            number = NUM_RANKED
    likeness = torch.cat(found, dim=1)
    if is_large:
        likeness = likeness.topk(NUM_RANKED, dim=1).values
    for rows in likeness.split(SAMPLED_AT_ONCE):
        rows.copy_(rows.sort(dim=1, descending=True).values)
    return likeness


def _distance(likeness: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Of unit vectors, from their correlation."""
    return (2 - 2 * likeness.double().clamp(-1, 1)).sqrt()


def _neighbour_ranks(distances: Float[Tensor, "s m"]) -> Int64[Tensor, " s"]:
    """Where in the sorted distances of each image its tenth neighbour stands that is no copy of it."""
    num_images = distances.shape[1]
    first = min(NEIGHBOUR, num_images - 1)
    ranks = torch.full((len(distances),), first)
    is_last_copy = distances[:, first:-1] < FINE_SHARE * distances[:, first + 1 :]
    for row in is_last_copy.any(dim=1).nonzero().flatten().tolist():
        num_copies = first + int(is_last_copy[row].nonzero().max())
        ranks[row] = min(num_copies + NEIGHBOUR, num_images - 1)
    return ranks


def _threshold(likeness: Float[Tensor, "s m"], ranks: Int64[Tensor, " s"], share: float) -> float:
    """The correlation at `share` of the distance to the neighbours at these ranks, where that is small."""
    distances = _distance(likeness.gather(1, ranks[:, None]))
    return 1 - (share * float(distances.quantile(CROWDED_SHARE))) ** 2 / 2
