"""How the images of a folder of folds are divided: recorded, searched for leaks, and compared when it goes on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from thumbnet.config import TrainConfig
from thumbnet.data.alike import AlikePair
from thumbnet.data.all_alike import AllAlike, find_all_alike
from thumbnet.data.class_counts import label_texts
from thumbnet.data.dataset import SPLIT_NAMES, Dataset, Split
from thumbnet.data.exclusion import how_to_exclude, read_exclusions
from thumbnet.data.folds import pool_of
from thumbnet.data.groups import group_names
from thumbnet.data.source_registry import is_searched_for_leaks
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.sources import dataset_of
from thumbnet.errors import RunError
from thumbnet.runs.folds.runs import checksum_of
from thumbnet.runs.folds.table import FoldList, FoldRow, FoldTable
from thumbnet.runs.resolve import Say
from thumbnet.runs.results.decide import check_decisions
from thumbnet.runs.run import RunDir
from thumbnet.terminal.text import counted
from thumbnet.training.class_weights import resolve_class_weights

OTHER_DATA = "go on with the data that it was begun on, or train all of them anew"


def fold_table(splits: SourceSplits, pool: Split, folds: Int64[Tensor, " n"], config: TrainConfig) -> FoldTable:
    """Which fold each image of the pool is in, its group, and whether the config's file lists it to be left out."""
    excluded = frozenset() if config.exclude is None else read_exclusions(config.exclude, pool, splits.class_names)
    groups = group_names(splits, config.division.groups)
    return FoldTable(
        tuple(
            FoldRow(
                "" if pool.paths is None else pool.paths[index],
                label,
                groups[index],
                fold,
                index in excluded,
            )
            for index, (label, fold) in enumerate(
                zip(label_texts(pool.labels, splits.class_names), folds.tolist(), strict=True)
            )
        )
    )


def check_other_folds(shared: TrainConfig, splits: SourceSplits, num_folds: int) -> None:
    """Raise now what the division into later folds would raise after the first ones were trained for hours.

    It depends on labels, groups and names alone: no image is copied.
    """
    parts: dict[str, Split] = {name: getattr(splits, name) for name in SPLIT_NAMES if getattr(splits, name) is not None}
    unseen = {
        name: replace(part, images=torch.zeros(len(part), 1, 1, 1, dtype=torch.uint8)) for name, part in parts.items()
    }
    without_images = replace(splits, train=unseen["train"], val=unseen.get("val"), test=unseen.get("test"))
    for fold in range(1, num_folds):
        dataset = dataset_of(
            without_images,
            val_fraction=shared.val_fraction,
            val_per_class=shared.val_per_class,
            split_seed=shared.split_seed,
            division=replace(shared.division, folds=num_folds, fold=fold),
            mean=(0.5,),
            std=(0.5,),
            exclude=shared.exclude,
            num_train=shared.num_train,
        )
        check_decisions(shared, dataset)
        resolve_class_weights(shared.objective, shared.inputs, dataset.train.labels, dataset.class_names)


def alike_in(pool: Split, dataset: Dataset, say: Say) -> AllAlike:
    """The images that are alike, of a source that is searched for leaks; says so if that was only done in part."""
    if not is_searched_for_leaks(dataset.source.name):
        return AllAlike()
    alike = find_all_alike(pool.images, with_flips=dataset.flip_keeps_labels)
    if alike.num_searched < alike.num_images:
        say(f"Leaks between folds were looked for among {alike.num_searched:,} of the {alike.num_images:,} images.")
    return alike


def tell_leaks(pairs: Collection[AlikePair], path: Path, num_excluded: int, say: Say) -> None:
    """Say what was found, and where it is listed."""
    num_images = len({index for pair in pairs for index in (pair.first, pair.second)})
    say(
        f"Leaks between folds: {counted(num_images, 'image')} equal, or nearly, to one of another fold: figures on "
        f"those are too good. They are listed in {path}; to train without all but one of each: "
        f"{how_to_exclude(path, num_excluded)}"
    )


def check_data(folder: RunDir, splits: SourceSplits, folds: FoldList) -> None:
    """RunError where the images or labels are not those that were divided."""
    if checksum_of(pool_of(splits)) != folds.data_checksum:
        raise RunError(
            f"{folder.path} was begun on other data: the checksum of its images and labels differs", hint=OTHER_DATA
        )


def check_division(folder: RunDir, table: FoldTable, fold: int, dataset: Dataset) -> None:
    """RunError where the images are divided otherwise than when the folder was begun: files were renamed."""
    test = dataset.test
    expected = [table.rows[index] for index in table.test_images(fold)]
    labels = label_texts(test.labels, dataset.class_names)
    if labels != [row.label for row in expected] or list(test.paths or [""] * len(test)) != [
        row.path for row in expected
    ]:
        raise RunError(f"{folder.path} was begun on other data: fold {fold} has other images", hint=OTHER_DATA)
