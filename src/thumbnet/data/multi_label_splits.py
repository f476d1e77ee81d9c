"""Images with several labels divided into parts, so that every part has about its share of every label.

Iterative stratification: the rarest label first, its images go to the part that lacks it most. Source: Sechidis,
Tsoumakas and Vlahavas, "On the stratification of multi-label data" (2011). Here what belongs together goes as one, and
ties are settled by raw numbers of the PCG64 generator, as in hold_out.py. An image without labels counts as one of a
label of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from thumbnet.errors import DataError
from thumbnet.terminal.text import counted

HINT = "add pictures of this label, take it out, or hold out fewer: val_fraction = 0, fewer folds, no groups"


def divide_labels(
    labels: UInt8[Tensor, "n k"],
    groups: Int64[Tensor, " n"] | None,
    shares: Sequence[float],
    *,
    seed: int,
    class_names: Sequence[str],
    leftover: int | None = None,
) -> Int64[Tensor, " n"]:
    """The part of each image, from 0; part p gets about `shares[p]` of the images of every label, no group is in two.

    The outcome depends on the arguments alone. Every part has every label, but the part `leftover`, if that is given,
    which nobody uses.

    Raises:
        DataError: a label has too few images, or groups, for that.
    """
    used = [part for part in range(len(shares)) if part != leftover]
    units = torch.arange(len(labels)) if groups is None else groups.unique(return_inverse=True)[1]
    marks = labels.numpy().astype(np.int64)
    counts = np.zeros((int(units.max()) + 1, marks.shape[1] + 1), np.int64)
    np.add.at(counts, units.numpy(), np.column_stack([marks, marks.sum(axis=1) == 0]))
    ranks = np.random.PCG64(seed).random_raw(len(counts))
    lacking = np.outer(np.asarray(shares, np.float64) / sum(shares), counts.sum(axis=0))
    _give_one(lacking, used)
    parts = _assigned(counts, lacking, np.argsort(np.argsort(ranks, kind="stable")))
    for label, name in enumerate(class_names):
        holding = counts[:, label] > 0
        if not set(used) <= set(parts[holding].tolist()):
            what = counted(int(holding.sum()), "image" if groups is None else "group")
            raise DataError(f"label {name!r} has {what}, too few for {counted(len(used), 'split')}", hint=HINT)
    return torch.from_numpy(parts)[units]


def hold_labels_out(
    labels: UInt8[Tensor, "n k"],
    groups: Int64[Tensor, " n"] | None,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    class_names: Sequence[str],
) -> tuple[Int64[Tensor, " train"], Int64[Tensor, " val"], Int64[Tensor, " test"]]:
    """Which images are for training, validation and test, ascending: first test is drawn from all, then validation from
    the rest, so that the test images do not depend on `val_fraction`."""
    rest = torch.arange(len(labels))
    held = {"test": rest[:0], "val": rest[:0]}
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        if fraction == 0:
            continue
        share = fraction * len(labels) / len(rest)  # both fractions are of all images
        part = divide_labels(
            labels[rest],
            None if groups is None else groups[rest],
            (1 - share, share),
            seed=seed,
            class_names=class_names,
        )
        held[name], rest = rest[part == 1], rest[part == 0]
    return rest, held["val"], held["test"]


def _give_one(lacking: Float64[np.ndarray, "parts labels"], used: Sequence[int]) -> None:
    """Raise what parts in use lack of rare labels to one image, which the part that lacks most of the label gives."""
    for label in range(lacking.shape[1] - 1):  # the last is "no label", which no part needs
        largest = int(lacking[:, label].argmax())
        for part in used:
            if part != largest and lacking[part, label] < 1:
                lacking[largest, label] -= 1 - lacking[part, label]
                lacking[part, label] = 1.0


def _assigned(
    counts: Int64[np.ndarray, "units labels"],
    lacking: Float64[np.ndarray, "parts labels"],
    ranks: Int64[np.ndarray, " units"],
) -> Int64[np.ndarray, " units"]:
    """The part of each unit, of which `counts` has the images of each label; `lacking` is what each part is to get of
    each label, and is used up."""
    parts = np.full(len(counts), -1, np.int64)
    left = counts.sum(axis=0)
    while (parts < 0).any():
        label = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        waiting = np.flatnonzero((parts < 0) & (counts[:, label] > 0))
        for unit in waiting[np.lexsort((ranks[waiting], -counts[waiting, label]))].tolist():
            part = _neediest(lacking, label, counts[unit])
            parts[unit] = part
            lacking[part] -= counts[unit]
            left = left - counts[unit]
    return parts


def _neediest(lacking: Float64[np.ndarray, "parts labels"], label: int, count: Int64[np.ndarray, " labels"]) -> int:
    """The part that lacks most of the label; of several the one that lacks most of the unit's labels, then of all."""
    rounded = lacking.round(6)
    keys = np.lexsort((rounded.sum(axis=1), rounded @ count, rounded[:, label]))
    return int(keys[-1])
