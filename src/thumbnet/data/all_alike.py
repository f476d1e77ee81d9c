"""Images of a set that are equal or nearly so, found once for all ways to divide it into parts.

They are compared as in alike.py, whatever part they are in: of folds, each training has other splits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from thumbnet.data import alike
from thumbnet.data.alike import NEARLY, AlikePair, equal_to, most_alike, small_images
from thumbnet.data.digests import digests_of, first_equals
from thumbnet.data.duplicates import find_near_duplicates


@dataclass(frozen=True)
class AllAlike:
    """All images of a set that are equal or nearly so, however they are divided.

    `copies` has equal images in order, by the first of them; `near` the pairs that are nearly equal, of equal images
    the first one's. `num_searched` of `num_images` were searched for near ones.
    """

    copies: Mapping[int, Sequence[int]] = field(default_factory=dict)
    near: Sequence[AlikePair] = ()
    num_images: int = 0
    num_searched: int = 0

    def between(self, part_of: Mapping[int, int]) -> frozenset[AlikePair]:
        """As `find_alike` of parts: every image that is in several of them, in the pair in which it is most alike.

        Args:
            part_of: the part of each image; what is not named takes no part.
        """
        links = list(self._links(part_of))
        members = {unit[0]: unit for link in links for unit in (link.first, link.second)}
        pairs = [AlikePair(link.first[0], link.second[0], link.likeness, link.flipped) for link in links]
        return frozenset(most_alike(pairs, members))

    def to_leave_out(self, part_of: Mapping[int, int]) -> tuple[AlikePair, ...]:
        """Images without which no two parts have any that are alike, each the second one of pairs with those that stay.

        Taken in order, an image stays unless it is like one that does. Whatever is alike to an image of another part is
        in a pair. The most alike come first; `part_of` is as in `between`.
        """
        rivals: dict[tuple[int, ...], list[_Link]] = defaultdict(list)
        for link in self._links(part_of):
            rivals[link.first].append(link)
            rivals[link.second].append(link.turned())
        kept: set[tuple[int, ...]] = set()
        for unit in sorted(rivals):
            if not any(link.second in kept for link in rivals[unit]):
                kept.add(unit)
        found = []
        for unit in rivals.keys() - kept:
            for link in rivals[unit]:
                if link.second in kept:
                    ends = [(link.second[0], image) for image in unit] + [(image, unit[0]) for image in link.second[1:]]
                    found += [AlikePair(stays, image, link.likeness, link.flipped) for stays, image in ends]
        return tuple(sorted(found, key=lambda pair: (-pair.likeness, pair.first, pair.second)))

    def _links(self, part_of: Mapping[int, int]) -> Iterator[_Link]:
        """Of equal images those of one part together; those of the earlier part come first."""
        known: dict[int, list[tuple[int, tuple[int, ...]]]] = {}

        def by_part(first_one: int) -> list[tuple[int, tuple[int, ...]]]:
            if first_one not in known:
                of_part: dict[int, list[int]] = defaultdict(list)
                for image in self.copies.get(first_one, (first_one,)):
                    if image in part_of:
                        of_part[part_of[image]].append(image)
                known[first_one] = [(part, tuple(images)) for part, images in sorted(of_part.items())]
            return known[first_one]

        for first_one in self.copies:
            for (_, first), (_, second) in combinations(by_part(first_one), 2):
                yield _Link(first, second, 1.0)
        for pair in self.near:
            for part, first in by_part(pair.first):
                for other_part, second in by_part(pair.second):
                    link = _Link(first, second, pair.likeness, pair.flipped)
                    if part != other_part:
                        yield link if part < other_part else link.turned()


class _Link(NamedTuple):
    """Images that are equal and in one part, and such of another part that are like them."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    likeness: float
    flipped: bool = False

    def turned(self) -> _Link:
        return self._replace(first=self.second, second=self.first)


def find_all_alike(images: UInt8[Tensor, "n c h w"], *, with_flips: bool) -> AllAlike:
    """All images that are equal or nearly so; of so many that there are more than MAX_PAIRS pairs, a sample is searched
    for near ones, always the same."""
    first_of = first_equals(digests_of(images))
    sizes = np.bincount(first_of, minlength=1)
    searched = torch.from_numpy(np.flatnonzero(sizes))
    most = int((2 * alike.MAX_PAIRS) ** 0.5)
    if len(searched) > most:
        order = torch.randperm(len(searched), generator=torch.Generator().manual_seed(0))
        searched = searched[order[:most]].sort().values
    places = searched.tolist()
    near = [
        AlikePair(places[pair.first], places[pair.second], min(pair.likeness, NEARLY), pair.flipped)
        for pair in find_near_duplicates(small_images([images], searched), with_flips=with_flips)
    ]
    return AllAlike(
        equal_to(np.flatnonzero(sizes > 1).tolist(), first_of),
        near,
        num_images=len(images),
        num_searched=int(sizes[places].sum()),
    )
