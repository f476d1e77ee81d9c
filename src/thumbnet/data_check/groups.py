"""groups.csv: pictures that are alike, as groups that `--groups` keeps on one side of every split."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import chain

from thumbnet.data.dataset import SPLIT_NAMES, Dataset
from thumbnet.data_check.suspects import Duplicate, Place, find_duplicates_across

# Of the distance to the neighbours, where duplicates have 0.6: what is nearly a duplicate stays together, too, because
# a training looks for leaks among images of another size. At 0.65 the largest of the groups of 2,624 solar cells has 8.
# Of the pairs that are found among them at 48 to 128 pixels, none is parted by these groups.
GROUPED_SHARE = 0.65


def find_groups(dataset: Dataset) -> tuple[tuple[Place, ...], ...]:
    """The groups of a dataset, of pairs a little further apart than duplicates are."""
    return groups_of_alike(dataset, find_duplicates_across(dataset, share=GROUPED_SHARE))


def groups_of_alike(dataset: Dataset, duplicates: Sequence[Duplicate]) -> tuple[tuple[Place, ...], ...]:
    """Images that are joined by duplicates, or by groups that the dataset has already, from two images on; in the order
    of train, val and test."""
    splits = {name: dataset.split(name) for name in SPLIT_NAMES if name != "val" or dataset.val is not None}
    parents: dict[Place, Place] = {}

    def first_of(place: Place) -> Place:
        while (parent := parents.setdefault(place, place)) != place:
            place = parent
        return place

    first_with: dict[int, Place] = {}
    for name, split in splits.items():
        for index, code in enumerate([] if split.groups is None else split.groups.tolist()):
            place = Place(name, index)
            parents[first_of(place)] = first_of(first_with.setdefault(code, place))
    for duplicate in duplicates:
        parents[first_of(duplicate.second)] = first_of(duplicate.first)
    members: dict[Place, list[Place]] = {}
    for name, split in splits.items():
        for index in range(len(split)):
            place = Place(name, index)
            if place in parents:
                members.setdefault(first_of(place), []).append(place)
    return tuple(tuple(places) for places in members.values() if len(places) > 1)


def is_parted(dataset: Dataset, groups: Sequence[Sequence[Place]]) -> bool:
    """Whether a group stands in two splits of which the source defines one itself, so that no division can keep it."""
    own = {name for name in SPLIT_NAMES if name != "train" and _is_own(dataset, name)}
    return any(len({place.split if place.split in own else "" for place in group}) > 1 for group in groups)


def groups_to_csv(dataset: Dataset, groups: Sequence[Sequence[Place]]) -> str:
    """The text of groups.csv, which `--groups` takes; the images have paths."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = ((_path(dataset, place), f"alike-{number}") for number, group in enumerate(groups, 1) for place in group)
    writer.writerows(chain([("path", "group")], rows))
    return text.getvalue()


def _is_own(dataset: Dataset, name: str) -> bool:
    return (name != "val" or dataset.val is not None) and dataset.split(name).positions is None


def _path(dataset: Dataset, place: Place) -> str:
    paths = dataset.split(place.split).paths
    assert paths is not None
    return paths[place.index]
