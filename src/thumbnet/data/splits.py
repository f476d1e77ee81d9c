"""Which images are held out of the training images: class by class, the same every time.

Not scikit-learn's `train_test_split(stratify=...)`: it may leave a class of few images out of a split altogether, and
refuses a split smaller than the number of classes; here every class appears in every split. The draw takes raw numbers
of the PCG64 generator, which NumPy promises never to change (`shuffle` and `permutation` come without that promise).
Where images belong together, divide.py draws.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.data.class_counts import class_sizes
from thumbnet.data.dataset import SourceSplits, Split
from thumbnet.data.divide import divide
from thumbnet.data.multi_label_splits import hold_labels_out
from thumbnet.data.statistics import images_at_once
from thumbnet.data.subset import draw_subset
from thumbnet.errors import ConfigError, DataError
from thumbnet.terminal.text import counted

TEST_FRACTION = 0.1  # of the images of a source that has no test split of its own
MAX_VAL_FRACTION = 0.5
MAX_CLASSES_NAMED = 20  # in a message


class SplitIndices(NamedTuple):
    """Which images go where: positions in ascending order, together each image once; empty where the fraction is 0."""

    train: Int64[Tensor, " train"]
    val: Int64[Tensor, " val"]
    test: Int64[Tensor, " test"]


class HeldOutCount(NamedTuple):
    """How many images of a class are held out."""

    test: int
    val: int


class CompleteSplits(NamedTuple):
    """The splits of a dataset; `val` is None where no image is held out for validation."""

    train: Split
    val: Split | None
    test: Split


def complete_splits(
    splits: SourceSplits,
    *,
    val_fraction: float,
    val_per_class: int = 0,
    split_seed: int,
    excluded: Collection[int] = (),
    num_train: int | None = None,
) -> CompleteSplits:
    """Hold out of `splits.train` what the source does not define itself.

    Test: the source's own; else a stratified TEST_FRACTION of `train`, whichever `val_fraction` is.
    Validation: the source's own, and `val_fraction` then does not apply; else a stratified `val_fraction` of the
    source's `train` (so for bare class folders both fractions are of all images), of a rare class at least
    `val_per_class` images (see `held_out_counts`); None where it is 0.
    The outcome depends on the labels, these two and `split_seed` alone. Then the images at the positions
    `excluded` of the source's `train` are left out: the others stay in their splits, and the test images are untouched.
    Of the training images that are left, `num_train` are kept, if it is given; the other splits stay as they are.

    Raises:
        ConfigError: `val_fraction` is outside 0..0.5, `split_seed` negative, or `num_train` more than there are.
        DataError: a class has too few images to appear in every split; an excluded image is held out for test, or the
            others leave a class without training images.
    """
    if not 0 <= val_fraction <= MAX_VAL_FRACTION:
        raise ConfigError(
            f"val_fraction is {val_fraction}, expected 0 to {MAX_VAL_FRACTION}",
            hint="set val_fraction to 0.1, or to 0 for no validation split",
        )
    if split_seed < 0:
        raise ConfigError(f"split_seed is {split_seed}, expected 0 or more", hint="set split_seed to 0")
    refuse_val_per_class(splits, val_per_class)
    indices = hold_out(
        splits.train.labels,
        val_fraction=val_fraction if splits.val is None else 0.0,
        val_per_class=val_per_class if splits.val is None else 0,
        test_fraction=TEST_FRACTION if splits.test is None else 0.0,
        seed=split_seed,
        class_names=splits.class_names,
        groups=splits.train.groups,
    )
    if excluded:
        indices = _without(indices, excluded, splits)
    if num_train is not None:
        chosen = draw_subset(
            splits.train.labels,
            indices.train,
            num_train=num_train,
            seed=split_seed,
            class_names=splits.class_names,
        )
        indices = indices._replace(train=chosen)
    held_out = len(indices.train) < len(splits.train)
    held_for_val = splits.train.select(indices.val) if len(indices.val) else None
    test = splits.train.select(indices.test) if splits.test is None else splits.test
    train = splits.train
    if held_out:  # last, since it may move the images
        train = _moved_forward(train, indices.train) if splits.owns_images else train.select(indices.train)
    return CompleteSplits(train=train, val=held_for_val if splits.val is None else splits.val, test=test)


def refuse_val_per_class(splits: SourceSplits, val_per_class: int) -> None:
    """ConfigError where a number of images of a rare class is to be held out of images with several labels."""
    if val_per_class and splits.train.has_several_labels:
        raise ConfigError(
            f"val_per_class is {val_per_class}, but an image may have several labels",
            hint="leave val_per_class out: every label gives its share, see val_fraction",
        )


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
    _refuse_small(sizes, 1 + (test_fraction > 0) + (val_fraction > 0), class_names)
    present = [size for size in sizes if size]
    num_images, counts = sum(present), []
    for size in sizes:
        is_rare = len(present) == 2 or 2 * size * len(present) < num_images
        least = min(val_per_class, size // 4) if is_rare else 0
        counts.append(_shares(size, test_fraction, val_fraction, least_val=least))
    return counts


def _moved_forward(split: Split, indices: Int64[Tensor, " m"]) -> Split:
    """`split.select(indices)` for ascending indices, in the memory of the split's own images, which it overwrites."""
    step = images_at_once(split.images)
    for start in range(0, len(indices), step):
        chunk = indices[start : start + step]
        split.images[start : start + len(chunk)] = split.images[chunk]  # no later chunk needs what this overwrites
    return Split(
        split.images[: len(indices)],
        split.labels[indices],
        None if split.paths is None else tuple(split.paths[index] for index in indices.tolist()),
        indices if split.positions is None else split.positions[indices],
        None if split.groups is None else split.groups[indices],
    )


def _without(indices: SplitIndices, excluded: Collection[int], splits: SourceSplits) -> SplitIndices:
    """The same splits less the excluded positions."""
    left_out = torch.tensor(sorted(excluded))
    in_test = left_out[torch.isin(left_out, indices.test)].tolist()
    if in_test:
        raise DataError(
            f"image {in_test[0]} is to be excluded, but it is held out for test ({len(in_test):,} in all)",
            hint="check the data with the same split_seed, or take these lines out of the file",
        )
    train, val = (part[~torch.isin(part, left_out)] for part in (indices.train, indices.val))
    labels, num_classes = splits.train.labels, len(splits.class_names)
    before, after = class_sizes(labels, num_classes), class_sizes(labels[train], num_classes)
    missing = [label for label, size in enumerate(after) if before[label] and not size]
    if missing:
        raise DataError(
            f"without the excluded images, class {splits.class_names[missing[0]]!r} has none to train on",
            hint="take some of its lines out of the file that lists them",
        )
    return SplitIndices(train, val, indices.test)


def _refuse_small(sizes: Sequence[int], needed: int, class_names: Sequence[str]) -> None:
    """DataError, which names all of them, where classes have fewer images than there are splits to fill."""
    small = {name: size for name, size in zip(class_names, sizes, strict=False) if 0 < size < needed}
    if len(small) == 1:
        ((name, size),) = small.items()
        raise DataError(
            f"class {name!r} has {counted(size, 'image')} for {needed} splits, expected at least {needed}",
            hint="add images of this class, take it out, or set val_fraction to 0",
        )
    if small:
        named = [f"{name!r} has {size}" for name, size in small.items()][:MAX_CLASSES_NAMED]
        more = "" if len(named) == len(small) else f", and {len(small) - len(named):,} more have too few"
        raise DataError(
            f"{len(small):,} classes have fewer images than the {needed} splits need: {', '.join(named)}{more}",
            hint="add images of these classes, take them out, or set val_fraction to 0",
        )


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
