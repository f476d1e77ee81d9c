"""Images divided into parts of which each has its share of every class, and none has a part of a group.

The draw takes raw numbers of the PCG64 generator, which NumPy promises never to change; scikit-learn's
StratifiedGroupKFold promises no such thing, divides into equal parts only, and may leave a class out of a part.

Groups of several images come first, the largest first: each goes to the part where the sum over classes of the squared
distance from the wanted numbers, as shares of the class, grows least. Then the single images of each class fill what
is still wanted. Last, a part that lacks a class gets its smallest group from a part that has one to spare.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from thumbnet.errors import DataError
from thumbnet.terminal.text import counted


def divide(
    labels: Int64[Tensor, " n"],
    groups: Int64[Tensor, " n"] | None,
    wanted: Int64[np.ndarray, "parts classes"],
    *,
    seed: int,
    class_names: Sequence[str],
    needs: Sequence[int] | None = None,
) -> Int64[Tensor, " n"]:
    """The part of each image, from 0.

    Args:
        groups: images of an equal number stay in one part; None: each image for itself, and the numbers are exact.
        wanted: how many images of each class each part is to get, which together are all that there are.
        class_names: for errors only.
        needs: how many groups of a class each part must get at least, where it wants the class; None: one.

    Raises:
        DataError: a class has too few groups.
    """
    classes = labels.numpy()
    num_parts, num_classes = wanted.shape
    assert (wanted.sum(axis=0) == np.bincount(classes, minlength=num_classes)).all()
    ranks = np.random.PCG64(seed).random_raw(len(classes))
    codes = np.arange(len(classes)) if groups is None else groups.numpy()
    several, single = _units(codes)
    several.sort(key=lambda members: (-len(members), int(ranks[members[0]])))
    parts = np.full(len(classes), -1)
    have = np.zeros((num_parts, num_classes), np.int64)
    totals = np.maximum(wanted.sum(axis=0), 1)
    for members in several:
        present, counts = np.unique(classes[members], return_counts=True)
        growth = counts * (2 * (have[:, present] - wanted[:, present]) + counts) / totals[present] ** 2.0
        part = int(growth.sum(axis=1).argmin())
        parts[members] = part
        have[part, present] += counts
    drawn = single[np.lexsort((ranks[single], classes[single]))]  # class by class
    for label, members in _by_class(drawn, classes):
        numbers = _shared_out(len(members), np.maximum(wanted[:, label] - have[:, label], 0))
        parts[members] = np.repeat(np.arange(num_parts), numbers)
    _Repair(parts, classes, several, single, ranks, wanted, needs or [1] * num_parts, class_names).run()
    return torch.from_numpy(parts)


def fold_numbers(sizes: Sequence[int], num_folds: int) -> Int64[np.ndarray, "folds classes"]:
    """How many images of each class each fold gets: of a class, and of all, no two folds differ by more than one."""
    wanted = np.empty((num_folds, len(sizes)), np.int64)
    first = 0  # of the folds, which gets one more
    for label, size in enumerate(sizes):
        wanted[:, label] = size // num_folds
        wanted[(first + np.arange(size % num_folds)) % num_folds, label] += 1
        first = (first + size) % num_folds
    return wanted


def _units(codes: Int64[np.ndarray, " n"]) -> tuple[list[np.ndarray], Int64[np.ndarray, " singles"]]:
    """The groups of several images, each as its images in order, and the images that are alone in theirs."""
    order = np.argsort(codes, kind="stable")
    sizes = np.unique(codes, return_counts=True)[1]
    ends = np.cumsum(sizes)
    several = [order[end - size : end] for end, size in zip(ends[sizes > 1], sizes[sizes > 1], strict=True)]
    return several, np.sort(order[ends[sizes == 1] - 1])


def _by_class(drawn: Int64[np.ndarray, " m"], classes: Int64[np.ndarray, " n"]) -> Iterator[tuple[int, np.ndarray]]:
    """The images of each class, of images that are sorted by class."""
    labels, starts = np.unique(classes[drawn], return_index=True)
    yield from zip(labels.tolist(), np.split(drawn, starts)[1:], strict=True)


def _shared_out(number: int, wanted: Int64[np.ndarray, " parts"]) -> Int64[np.ndarray, " parts"]:
    """`number` in whole parts as near as can be to what is wanted; exactly that where it is as many."""
    total = max(1, int(wanted.sum()))
    shares = wanted * number // total
    left = wanted * number % total
    largest = np.argsort(-left, kind="stable")[: number - int(shares.sum())]
    shares[largest] += 1
    return shares


class _Unit(NamedTuple):
    """A group, or an image that is alone, with the classes of its images."""

    members: np.ndarray
    labels: np.ndarray


class _Repair:
    """Moves groups until every part has as many of each class that it wants as it needs."""

    def __init__(
        self,
        parts: Int64[np.ndarray, " n"],
        classes: Int64[np.ndarray, " n"],
        several: Sequence[np.ndarray],
        single: Int64[np.ndarray, " singles"],
        ranks: np.ndarray,
        wanted: Int64[np.ndarray, "parts classes"],
        needs: Sequence[int],
        class_names: Sequence[str],
    ) -> None:
        self.parts, self.classes, self.single, self.ranks = parts, classes, single, ranks
        self.several = [_Unit(members, np.unique(classes[members])) for members in several]
        self.class_names = class_names
        self.needed = np.where(wanted > 0, np.array(needs)[:, None], 0)
        self.have = np.zeros_like(wanted)
        np.add.at(self.have, (parts[single], classes[single]), 1)
        for unit in self.several:
            self.have[self._part(unit), unit.labels] += 1

    def run(self) -> None:
        """Raises DataError where a class has too few groups."""
        for part, label in np.argwhere(self.have < self.needed).tolist():
            while self.have[part, label] < self.needed[part, label]:
                self._move_one(label, part)

    def _move_one(self, label: int, part: int) -> None:
        alone = self.single[self.classes[self.single] == label]
        units = [unit for unit in self.several if label in unit.labels]
        units += [_Unit(alone[index : index + 1], np.array([label])) for index in range(len(alone))]
        spare = [unit for unit in units if self._part(unit) != part and self._can_go(unit)]
        if not spare:
            raise self._error(label, len(units))
        chosen = min(
            spare,
            key=lambda unit: (
                len(unit.members), -int(self.have[self._part(unit), label]), int(self.ranks[unit.members[0]])
            ),
        )  # fmt: skip
        self.have[self._part(chosen), chosen.labels] -= 1
        self.have[part, chosen.labels] += 1
        self.parts[chosen.members] = part

    def _part(self, unit: _Unit) -> int:
        return int(self.parts[unit.members[0]])

    def _can_go(self, unit: _Unit) -> bool:
        """Whether its part can do without it."""
        part = self._part(unit)
        return bool((self.have[part, unit.labels] > self.needed[part, unit.labels]).all())

    def _error(self, label: int, num_groups: int) -> DataError:
        name, needed = self.class_names[label], int(self.needed[:, label].sum())
        hint = "add pictures of other objects, take fewer folds, or leave groups out"
        if num_groups < needed:
            return DataError(
                f"class {name!r} has {counted(num_groups, 'group')} for {needed} splits, expected at least {needed}",
                hint=hint,
            )
        return DataError(
            f"the groups of class {name!r} hold other classes, too: they cannot be divided so that every split has "
            "every class",
            hint=hint,
        )
