"""Which images are held out of the training images: class by class, the same every time.

Not scikit-learn's `train_test_split(stratify=...)`: it may leave a class of few images out of a split altogether, and
refuses a split smaller than the number of classes; here every class appears in every split. The draw takes raw numbers
of the PCG64 generator, which NumPy promises never to change (`shuffle` and `permutation` come without that promise).
Where images belong together, divide.py draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.divide import divide
from thumbnet.data.multi_label_splits import hold_labels_out
from thumbnet.data.too_few import num_units, refuse_few_for_splits

TEST_FRACTION = 0.1  # of the images of a source that has no test split of its own


class SplitIndices(NamedTuple):
    """Which images go where: positions in ascending order, together each image once; empty where the fraction is 0."""

    train: Int64[Tensor, " train"]
    val: Int64[Tensor, " val"]
    test: Int64[Tensor, " test"]


class HeldOutCount(NamedTuple):
    """How many images of a class are held out."""

    test: int
    val: int


def hold_out(
    labels: Int64[Tensor, " n"] | UInt8[Tensor, "n k"],
    *,
    val_fraction: float,
    val_per_class: int = 0,
    test_fraction: float,
    seed: int,
    class_names: Sequence[str],
    groups: Int64[Tensor, " n"] | None = None,
) -> SplitIndices:
    """Draw images for validation and test, of each class as many as `held_out_counts` says; with `groups`, or where an
    image may have several labels (see multi_label_splits.py), as near to the fractions as that allows.

    The test images do not depend on `val_fraction` (but in a class that is too small for it).

    Raises:
        DataError: a class has fewer images, or groups, than there are splits to fill.
    """
    assert val_fraction >= 0
    assert test_fraction >= 0
    assert val_fraction + test_fraction < 1
    refuse_few_for_splits(
        num_units(labels, groups, len(class_names)),
        class_names,
        holds_test=test_fraction > 0,
        holds_val=val_fraction > 0,
        unit="image" if groups is None else "group",
        kind="label" if labels.ndim == 2 else "class",
    )
    if labels.ndim == 2:
        held = hold_labels_out(
            labels,
            groups,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
            class_names=class_names,
        )
        return SplitIndices(*held)
    ranks = np.random.PCG64(seed).random_raw(len(labels))
    classes = labels.numpy()
    counts = held_out_counts(
        np.bincount(classes).tolist(),
        val_fraction=val_fraction,
        val_per_class=val_per_class,
        test_fraction=test_fraction,
        class_names=class_names,
    )
    if groups is not None:
        return _hold_groups_out(labels, groups, counts, seed=seed, class_names=class_names)
    parts: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for label in np.unique(classes).tolist():
        members = np.flatnonzero(classes == label)
        num_test, num_val = counts[label]
        drawn = members[np.argsort(ranks[members], kind="stable")]
        test, val, train = np.split(drawn, [num_test, num_test + num_val])
        for name, part in (("train", train), ("val", val), ("test", test)):
            parts[name].append(part)
    return SplitIndices(**{name: torch.from_numpy(np.sort(np.concatenate(part))) for name, part in parts.items()})


def _hold_groups_out(
    labels: Int64[Tensor, " n"],
    groups: Int64[Tensor, " n"],
    counts: Sequence[HeldOutCount],
    *,
    seed: int,
    class_names: Sequence[str],
) -> SplitIndices:
    """First test from all images, then validation from the rest, so that the test images depend on nothing else."""
    rest = torch.arange(len(labels))
    held: dict[str, Int64[Tensor, " m"]] = {"test": rest[:0], "val": rest[:0]}
    for name in held:
        numbers = np.array([getattr(count, name) for count in counts], np.int64)
        if not numbers.any():
            continue
        sizes = np.bincount(labels[rest].numpy(), minlength=len(counts))
        numbers = np.minimum(numbers, np.maximum(sizes - 1, 0))
        has_val_to_come = name == "test" and any(count.val for count in counts)
        part = divide(
            labels[rest],
            groups[rest],
            np.stack([numbers, sizes - numbers]),
            seed=seed,
            class_names=class_names,
            needs=(1, 2 if has_val_to_come else 1),
        )
        held[name], rest = rest[part == 0], rest[part == 1]
    return SplitIndices(train=rest, val=held["val"], test=held["test"])


def held_out_counts(
    sizes: Sequence[int],
    *,
    val_fraction: float,
    val_per_class: int = 0,
    test_fraction: float,
    class_names: Sequence[str],
) -> list[HeldOutCount]:
    """How many images of each class are held out: of each the same share, its images times the fraction, rounded.

    A fraction above 0 takes at least one image of each class, and one at least stays for training: where a class is
    so small that they would all go, the larger share gives way. Validation takes at least `val_per_class` images of a
    rare class, but no more than a quarter of it: of either of two classes, and of one that has less than half as many
    images as the mean class.

    Args:
        sizes: images of each class, of which some may have none.
        class_names: for the error only.

    Raises:
        DataError: a class has fewer images than there are splits to fill.
    """
    refuse_few_for_splits(sizes, class_names, holds_test=test_fraction > 0, holds_val=val_fraction > 0)
    present = [size for size in sizes if size]
    num_images, counts = sum(present), []
    for size in sizes:
        is_rare = len(present) == 2 or 2 * size * len(present) < num_images
        least = min(val_per_class, size // 4) if is_rare else 0
        counts.append(_shares(size, test_fraction, val_fraction, least_val=least))
    return counts


def _shares(num_images: int, test_fraction: float, val_fraction: float, *, least_val: int) -> HeldOutCount:
    """How many of a class's `num_images` each fraction takes."""
    if num_images == 0:
        return HeldOutCount(0, 0)
    fractions = (test_fraction, val_fraction)
    shares = [max(math.ceil(fraction), round(num_images * fraction)) for fraction in fractions]
    shares[1] = max(shares[1], least_val)
    while sum(shares) >= num_images:
        shares[shares.index(max(shares))] -= 1
    return HeldOutCount(*shares)
