"""The splits of a dataset: what its source does not define itself is held out of the training images."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from thumbnet.data.class_counts import class_sizes
from thumbnet.data.dataset import Split
from thumbnet.data.hold_out import TEST_FRACTION, SplitIndices, hold_out
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.statistics import images_at_once
from thumbnet.data.streamed import is_streamed
from thumbnet.data.subset import draw_subset
from thumbnet.errors import ConfigError, DataError

MAX_VAL_FRACTION = 0.5


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
        is_ours = splits.owns_images and not is_streamed(train.images)
        train = _moved_forward(train, indices.train) if is_ours else train.select(indices.train)
    return CompleteSplits(train=train, val=held_for_val if splits.val is None else splits.val, test=test)


def refuse_val_per_class(splits: SourceSplits, val_per_class: int) -> None:
    """ConfigError where a number of images of a rare class is to be held out of images with several labels."""
    if val_per_class and splits.train.has_several_labels:
        raise ConfigError(
            f"val_per_class is {val_per_class}, but an image may have several labels",
            hint="leave val_per_class out: every label gives its share, see val_fraction",
        )


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
            hint="check the data with the same split_seed and groups, or take these lines out of the file",
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
