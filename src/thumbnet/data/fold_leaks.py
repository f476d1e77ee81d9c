"""Leaks between folds: images that stand in two of them, equal or nearly.

All images are searched once, whatever their fold: what stands in two folds, or in two splits of one training, follows
from how they are divided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thumbnet.data.all_alike import AllAlike
from thumbnet.data.dataset import SPLIT_NAMES, Dataset, Split
from thumbnet.data.leaks import Leak, Leaks, in_order, row_of_leak, table_of_leaks


def fold_leaks_to_csv(alike: AllAlike, pool: Split, fold_of: Mapping[int, int], class_names: Sequence[str]) -> str:
    """The text of leaks.csv for folds: the images without which no two folds have any that are alike, each beside those
    that stay, as `AllAlike.to_leave_out` gives them.

    Args:
        fold_of: the fold of each image that is not left out already, by its index in the pool.
    """
    rows = []
    for pair in alike.to_leave_out(fold_of):
        names = f"fold {fold_of[pair.second]}", f"fold {fold_of[pair.first]}"
        places = pool, pair.second, pool, pair.first
        rows.append(row_of_leak(*places, class_names, pair.likeness, pair.flipped, names=names))
    return table_of_leaks(rows)


def leaks_of_pool(alike: AllAlike, dataset: Dataset) -> Leaks:
    """The leaks of a dataset of which one fold of the pool is the test split."""
    place: dict[int, tuple[int, int]] = {}  # by index in the pool: number of the split and index in it
    for number, name in enumerate(SPLIT_NAMES):
        split: Split | None = getattr(dataset, name)
        if split is not None and split.positions is not None:
            place |= {position: (number, index) for index, position in enumerate(split.positions.tolist())}
    found = []
    for pair in alike.between({image: number for image, (number, _) in place.items()}):
        (first, index), (second, held_index) = place[pair.first], place[pair.second]
        found.append(Leak(SPLIT_NAMES[first], index, SPLIT_NAMES[second], held_index, pair.likeness, pair.flipped))
    num_held_out = len(dataset.test) + (0 if dataset.val is None else len(dataset.val))
    return Leaks(in_order(found), num_held_out, num_held_out)
