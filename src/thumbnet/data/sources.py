"""From a name to a dataset in memory: read by its source, split, normalised by its own statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from thumbnet.data.dataset import Dataset
from thumbnet.data.exclusion import read_exclusions
from thumbnet.data.folds import pool_of, with_fold_held_out
from thumbnet.data.groups import resolve_groups, with_groups
from thumbnet.data.source_registry import read_source
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.splits import complete_splits
from thumbnet.data.statistics import usable_statistics
from thumbnet.data.undivided import with_division_remarks
from thumbnet.data.val_rule import val_share
from thumbnet.errors import ConfigError
from thumbnet.specs.data import IMAGE_SIZE, DataSpec, Labels, ReadOptions, ValFraction, WhiteLevels
from thumbnet.specs.division import Division
from thumbnet.specs.sizes import ANY_SIDE, Fit, ImageSize, SideLimits, check_fit, check_image_size


def load_dataset(
    data: str = "auto",
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
    image_size: ImageSize = IMAGE_SIZE,
    fit: Fit = "crop",
    val_fraction: ValFraction = 0.1,
    val_per_class: int | None = None,
    split_seed: int = 0,
    groups: str = "off",
    folds: int | None = None,
    fold: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    exclude: str | Path | None = None,
    num_train: int | None = None,
    skip_unreadable: bool = False,
    white_levels: WhiteLevels | None = None,
    labels: Labels = "auto",
    in_colour: bool = False,
    show_progress: bool = True,
    auto_sides: SideLimits = ANY_SIDE,
) -> Dataset:
    """A dataset in memory, split in train, val and test.

    Args:
        data: `cifar10`; `cifar100`; `digits` (scikit-learn's 8x8 digits, embedded); `folder:PATH` (one sub-folder per
            class, or a labels.csv); `npz:FILE` (see `thumbnet.data.npz`); `packed:DIR` (see `thumbnet.pack_data`);
            `auto`: CIFAR-10 where it is on disk or can be downloaded, otherwise the digits, with a `source.note`; or
            the name of a source of yours (`register_data_source`).
        data_dir: the folder that holds CIFAR-10 or gets it, or that holds CIFAR-100; None: THUMBNET_DATA, else the
            user's cache folder.
        allow_unverified: accept CIFAR files that are not the official ones; `source.verified` is then False.
        image_size: side in pixels of the squares that a folder's images are brought to; or their height and width; or
            "auto": a side by the images' own sizes (see `thumbnet.data.sizes`). Other sources have their own.
        fit: how a folder's images of another shape are brought to that: the centre part is kept (`crop`), or the whole
            is kept and grey put around it (`letterbox`).
        val_fraction: share of the training images held out for validation, class by class; 0 for none; "auto": the
            larger of a tenth and 200 images, at most a quarter, and 0.02 for CIFAR (see `thumbnet.data.val_rule`).
        val_per_class: how many images of a rare class are held out at least, where that is no more than a quarter of
            it; None: 60 with "auto", else 0.
        split_seed: of the held-out images: the split depends on it, on these two and on the data alone.
        groups: what belongs together and stands on one side of every split: "off", "folders" (sub-folders of the
            classes), a .csv file, or "auto" (see `thumbnet.data.groups`).
        folds: divide all images into so many parts, stratified, of which `fold`, from 0, is the test split; a test
            split of the source's own takes no part.
        fold: likewise.
        mean: per channel, of pixels in 0..1; None: computed from the training split, as is `std`. A channel that never
            changes gets a deviation of 1.
        std: likewise.
        exclude: a file as `thumbnet data check` writes it, with a column `index`: its images are left out of train and
            val, which otherwise stay as they are.
        num_train: keep so many of the training images, of each class its share; None: all.
        skip_unreadable: of a folder, leave out files that cannot be read as pictures; `source.skipped` names them.
        white_levels: of a folder's pictures with more than 8 bits, the level that is white by kind (see
            `thumbnet.data.white_levels`); None: as many bits as the whole set uses.
        labels: of a folder: the names of its class folders ("folders"), its labels.csv ("file", see
            `thumbnet.data.labels_file`), or "auto": that file where it is there.
        in_colour: make grey images colour, with three equal channels.
        show_progress: show on stderr how far a folder is read, where that takes more than two seconds.
        auto_sides: the least and the largest side in pixels (None: no largest) that image_size = "auto" may choose, as
            a model takes them.

    Raises:
        DataError: not found, damaged, not official, not to be downloaded, or not that which `exclude` is of;
            ConfigError: an unknown name, or an argument that the source does not obey.
    """
    check_image_size(image_size)
    check_fit(fit)
    division = Division(groups=groups, folds=folds, fold=fold)
    splits = read_source(
        DataSpec(data, data_dir, allow_unverified),
        ReadOptions.sized(
            image_size,
            fit=fit,
            skip_unreadable=skip_unreadable,
            white_levels=white_levels,
            labels=labels,
            show_progress=show_progress,
            auto_sides=auto_sides,
            division=division,
            val_fraction=val_fraction,
        ),
    )
    return dataset_of(
        splits,
        val_fraction=val_fraction,
        val_per_class=val_per_class,
        split_seed=split_seed,
        division=division,
        mean=mean,
        std=std,
        exclude=exclude,
        num_train=num_train,
        in_colour=in_colour,
    )


def dataset_of(
    splits: SourceSplits,
    *,
    val_fraction: ValFraction,
    val_per_class: int | None = None,
    split_seed: int = 0,
    division: Division = Division(),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    exclude: str | Path | None = None,
    num_train: int | None = None,
    in_colour: bool = False,
) -> Dataset:
    """A dataset from the splits that a source defines; arguments and errors are those of `load_dataset`.

    It overwrites the images of splits that own them: to make several datasets of the same, take
    `replace(splits, owns_images=False)`.
    """
    division = replace(division, groups=resolve_groups(division.groups, splits))
    splits = with_groups(splits, division.groups, are_divided_anew=division.folds is not None)
    divided = splits.train if division.folds is None else pool_of(splits)
    excluded = frozenset() if exclude is None else read_exclusions(exclude, divided, splits.class_names)
    excluded_of_train = excluded
    if division.folds is not None and division.fold is not None:
        splits, excluded_of_train = with_fold_held_out(
            splits, folds=division.folds, fold=division.fold, split_seed=split_seed, excluded=excluded
        )
    share = val_share(splits, val_fraction, val_per_class)
    train, val, test = complete_splits(
        splits,
        val_fraction=share.fraction,
        val_per_class=share.per_class,
        split_seed=split_seed,
        excluded=excluded_of_train,
        num_train=num_train,
    )
    if (mean is None) != (std is None):
        raise ConfigError("only one of mean and std is given", hint="give both, or neither")
    source = splits.source
    if mean is None or std is None:
        statistics, remark = usable_statistics(train.images)
        mean, std = statistics.mean, statistics.std
        source = with_division_remarks(source, remark) if remark else source
    dataset = Dataset(
        train=train,
        val=val,
        test=test,
        class_names=splits.class_names,
        mean=tuple(mean),
        std=tuple(std),
        flip_keeps_labels=splits.flip_keeps_labels,
        source=source,
        split_seed=split_seed,
        val_fraction=share.fraction,
        val_per_class=share.per_class,
        division=division,
        num_excluded=len(excluded),
        num_train=num_train,
        white_levels=splits.white_levels,
        fit=splits.fit,
        labels_from=splits.labels_from,
    )
    return dataset.in_colour() if in_colour else dataset


def load_whole_dataset(
    data: str,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
    image_size: ImageSize = IMAGE_SIZE,
    fit: Fit = "crop",
    skip_unreadable: bool = False,
    white_levels: WhiteLevels | None = None,
    labels: Labels = "auto",
    in_colour: bool = False,
    show_progress: bool = True,
) -> Dataset:
    """All images of a source as test images, for a model that saw none of them; as its train split, too.

    Arguments and errors are those of `load_dataset`; nothing is held out, so that a class may have a single image.
    """
    check_image_size(image_size)
    check_fit(fit)
    splits = read_source(
        DataSpec(data, data_dir, allow_unverified),
        ReadOptions.sized(
            image_size,
            fit=fit,
            skip_unreadable=skip_unreadable,
            white_levels=white_levels,
            labels=labels,
            show_progress=show_progress,
        ),
    )
    images = splits.joined()
    statistics, _ = usable_statistics(images.images)
    dataset = Dataset(
        train=images,
        val=None,
        test=images,
        class_names=splits.class_names,
        mean=statistics.mean,
        std=statistics.std,
        flip_keeps_labels=splits.flip_keeps_labels,
        source=splits.source,
        white_levels=splits.white_levels,
        fit=splits.fit,
        labels_from=splits.labels_from,
    )
    return dataset.in_colour() if in_colour else dataset
