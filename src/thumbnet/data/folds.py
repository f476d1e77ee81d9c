"""One part of all images held out as the test split: a fold of several, of which each image is in exactly one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from thumbnet.data.class_counts import class_sizes
from thumbnet.data.dataset import Split
from thumbnet.data.divide import divide, fold_numbers
from thumbnet.data.multi_label_splits import divide_labels
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.too_few import num_units, refuse_few_for_folds
from thumbnet.data.undivided import with_division_remarks
from thumbnet.errors import DataError


class Folded(NamedTuple):
    """Splits whose test split is a fold and whose train split is all the others; `excluded` are positions in that."""

    splits: SourceSplits
    excluded: frozenset[int]


def pool_of(splits: SourceSplits) -> Split:
    """The images that are divided into folds: those of train, then those of a validation split of the source's own."""
    return splits.train if splits.val is None else replace(splits, test=None).joined()


def fold_of_each(splits: SourceSplits, *, folds: int, split_seed: int) -> Int64[Tensor, " n"]:
    """The fold of each image of the pool, from 0: of every class the same share in each, and no group in two.

    Raises:
        DataError: a class has fewer images, or groups, than there are folds.
    """
    pool = pool_of(splits)
    refuse_few_for_folds(
        num_units(pool.labels, pool.groups, len(splits.class_names)),
        splits.class_names,
        folds,
        unit="image" if pool.groups is None else "group",
        kind="label" if pool.has_several_labels else "class",
    )
    if pool.has_several_labels:
        return divide_labels(
            pool.labels, pool.groups, [1 / folds] * folds, seed=split_seed, class_names=splits.class_names
        )
    sizes = class_sizes(pool.labels, len(splits.class_names))
    return divide(pool.labels, pool.groups, fold_numbers(sizes, folds), seed=split_seed, class_names=splits.class_names)


def with_fold_held_out(
    splits: SourceSplits, *, folds: int, fold: int, split_seed: int, excluded: Collection[int] = ()
) -> Folded:
    """Make the images of one fold the test split, those of the others the train split; a test split of the source's
    own takes no part. Images at the positions `excluded` of the source's train keep their fold and are left out.

    Raises:
        DataError: as `fold_of_each`; or the excluded images are all that the fold has.
    """
    pool = pool_of(splits)
    is_test = fold_of_each(splits, folds=folds, split_seed=split_seed) == fold
    is_left_out = torch.zeros(len(pool), dtype=torch.bool)
    is_left_out[sorted(excluded)] = True
    if not bool((is_test & ~is_left_out).any()):
        raise DataError(
            f"without the excluded images, fold {fold} of {folds} has none to be scored on",
            hint="take some of its lines out of the file that lists them, or take fewer folds",
        )
    rest = (~is_test).nonzero().flatten()
    source = splits.source
    if splits.test is not None:
        remark = f"The {len(splits.test):,} images of the source's own test split take no part in the folds."
        source = with_division_remarks(source, remark)
    folded = replace(
        splits,
        train=pool.select(rest),
        val=None,
        test=pool.select((is_test & ~is_left_out).nonzero().flatten()),
        source=source,
        owns_images=True,
    )
    return Folded(folded, frozenset(is_left_out[rest].nonzero().flatten().tolist()))
