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
MIN_DETAIL = 1.0  # root mean square, in levels of 255: below, there is no detail that could correlate

Describe = Callable[[UInt8[Tensor, "n c h w"]], Float[Tensor, "n d"]]


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

    Of several images that are equal, each is paired with the first of them only, and only that one with others.

    Args:
        with_flips: whether an image and its flipped image show the same.
        share: of the distance to the neighbours, at which two images are nearly equal.
    """
    equal = _equal_pairs(images)
    later = {pair.second for pair in equal}
    distinct = torch.tensor([index for index in range(len(images)) if index not in later])
    if len(distinct) < 2:
        return tuple(equal)
    near = _near_pairs_once(images, distinct, _limits(images, distinct, share), with_flips=with_flips)
    return tuple(sorted([*equal, *near], key=lambda pair: (-pair.likeness, pair.first, pair.second)))


def find_near_duplicates(images: UInt8[Tensor, "n c h w"], *, with_flips: bool) -> tuple[DuplicatePair, ...]:
    """The pairs of images whose detail correlates, as `find_duplicates` judges it, in no order.

    All pairs are compared, and no two images should be equal: copies would set the limits.
    """
    everything = torch.arange(len(images))
    if len(images) < 2:
        return ()
    return tuple(_near_pairs_once(images, everything, _limits(images, everything), with_flips=with_flips))


def find_duplicates_between(
    images: UInt8[Tensor, "n c h w"], parts: Int64[Tensor, " n"], *, with_flips: bool
) -> tuple[DuplicatePair, ...]:
    """The pairs of images of different `parts` whose detail correlates, as `find_duplicates` judges it, in no order.

    Inside a part no pair is compared, and no two images should be equal there: copies would set the limits.
    """
    everything = torch.arange(len(images))
    if len(parts.unique()) < 2:
        return ()
    return tuple(_near_pairs_once(images, everything, _limits(images, everything), with_flips=with_flips, parts=parts))


def _near_pairs_once(
    images: UInt8[Tensor, "n c h w"],
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


def _equal_pairs(images: UInt8[Tensor, "n c h w"]) -> list[DuplicatePair]:
    first_of: dict[bytes, int] = {}
    pairs = []
    for index, image in enumerate(images.numpy()):
        first = first_of.setdefault(image.tobytes(), index)
        if first != index:
            pairs.append(DuplicatePair(first, index, 1.0))
    return pairs


def _near_pairs(
    images: UInt8[Tensor, "n c h w"],
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
    coarse = [_coarse(images[block]) for block in blocks]
    others = [_coarse(images[block].flip(3)) for block in blocks] if flipped else coarse
    detail = _Detail(images)
    seen = _Detail(images, flipped=True) if flipped else detail
    for number, rows in enumerate(coarse):
        for other_number in range(number, len(blocks)):
            if parts is not None and owned[number][0] == owned[other_number][0]:
                continue
            likely = rows @ others[other_number].T > coarse_limit
            if number == other_number:
                likely = likely.triu(diagonal=1)
            places = likely.nonzero()
            for chunk in places.split(BLOCK_IMAGES):
                first, second = blocks[number][chunk[:, 0]], blocks[other_number][chunk[:, 1]]
                likeness = (detail.of(first) * seen.of(second)).sum(dim=1)
                for place in (likeness > fine_limit).nonzero().flatten().tolist():
                    yield DuplicatePair(int(first[place]), int(second[place]), float(likeness[place]), flipped)


class _Detail:
    """The fine detail of images, each computed once, when it is first asked for."""

    def __init__(self, images: UInt8[Tensor, "n c h w"], *, flipped: bool = False) -> None:
        self.images, self.flipped = images, flipped
        self.is_known = torch.zeros(len(images), dtype=torch.bool)
        self.rows = torch.empty(len(images), _fine(images[:1]).shape[1])  # memory that is not written takes none

    def of(self, indices: Int64[Tensor, " m"]) -> Float[Tensor, "m d"]:
        for chunk in indices[~self.is_known[indices]].unique().split(BLOCK_IMAGES):
            images = self.images[chunk]
            self.rows[chunk] = _fine(images.flip(3) if self.flipped else images)
            self.is_known[chunk] = True
        return self.rows[indices]


def _limits(
    images: UInt8[Tensor, "n c h w"], distinct: Int64[Tensor, " m"], share: float = FINE_SHARE
) -> tuple[float, float]:
    """The coarse and the fine correlation above which a pair is closer than a share of the distance to a neighbour:
    `share` of it in detail, and in the coarse as much more than COARSE_SHARE as `share` is more than FINE_SHARE."""
    coarse_share = COARSE_SHARE * share / FINE_SHARE
    generator = torch.Generator().manual_seed(0)
    num_sampled = max(NUM_SAMPLED, SAMPLED_PAIRS // len(distinct))
    sample = distinct[torch.randperm(len(distinct), generator=generator)[:num_sampled]]
    fine = _sorted_likeness(images, distinct, sample, _fine)
    ranks = torch.cat([_neighbour_ranks(_distance(rows)) for rows in fine.split(SAMPLED_AT_ONCE)])
    coarse = _sorted_likeness(images, distinct, sample, _coarse)
    return _threshold(coarse, ranks, coarse_share), _threshold(fine, ranks, share)


def _sorted_likeness(
    images: UInt8[Tensor, "n c h w"], distinct: Int64[Tensor, " m"], sample: Int64[Tensor, " s"], describe: Describe
) -> Float[Tensor, "s m"]:
    """Of each of the sampled images to all, the most alike first: that is, as a rule, the image itself."""
    sampled = describe(images[sample])
    likeness = torch.cat([sampled @ describe(images[block]).T for block in distinct.split(BLOCK_IMAGES)], dim=1)
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
    if max(height, width) <= side:
        return images
    return F.adaptive_avg_pool2d(images, (min(height, side), min(width, side)))
