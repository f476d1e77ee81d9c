"""From a name to a dataset: `auto`, `cifar10`, `cifar100`, `digits`, `folder:PATH`, `npz:FILE`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import platformdirs

from thumbnet.config import check_image_size
from thumbnet.data.cifar import read_cifar10, read_cifar100
from thumbnet.data.dataset import Dataset, SourceSplits
from thumbnet.data.digits import read_digits
from thumbnet.data.exclusion import read_exclusions
from thumbnet.data.folder import read_folder
from thumbnet.data.npz import read_npz
from thumbnet.data.splits import complete_splits
from thumbnet.data.statistics import usable_statistics
from thumbnet.data.white_levels import WhiteLevels
from thumbnet.errors import ConfigError, DatasetNotFoundError, DownloadError

DATA_DIR_VARIABLE = "THUMBNET_DATA"
FOLDER_PREFIX = "folder:"
NPZ_PREFIX = "npz:"
IMAGE_SIZE = 32  # where no other is given
CHOICES = "auto, cifar10, cifar100, digits, folder:PATH or npz:FILE"


def load_dataset(
    data: str = "auto",
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
    image_size: int = IMAGE_SIZE,
    val_fraction: float = 0.1,
    split_seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    exclude: str | Path | None = None,
    skip_unreadable: bool = False,
    white_levels: WhiteLevels | None = None,
    in_colour: bool = False,
    show_progress: bool = True,
) -> Dataset:
    """A dataset in memory, split in train, val and test.

    Args:
        data: `cifar10`; `cifar100`; `digits` (scikit-learn's 8x8 digits, embedded); `folder:PATH` (one sub-folder per
            class); `npz:FILE` (see `thumbnet.data.npz`); or `auto`: CIFAR-10 where it is on disk or can be
            downloaded, otherwise the digits, with a `source.note`.
        data_dir: the folder that holds CIFAR-10 or gets it, or that holds CIFAR-100; None: THUMBNET_DATA, else the
            user's cache folder.
        allow_unverified: accept CIFAR files that are not the official ones; `source.verified` is then False.
        image_size: side in pixels that a folder's images are resized to; other sources have their own.
        val_fraction: share of the training images held out for validation, class by class; 0 for none.
        split_seed: of the held-out images: the split depends on it, on val_fraction and on the data alone.
        mean: per channel, of pixels in 0..1; None: computed from the training split, as is `std`.
        std: likewise.
        exclude: a file as `thumbnet data check` writes it, with a column `index`: its images are left out of train and
            val, which otherwise stay as they are.
        skip_unreadable: of a folder, leave out files that cannot be read as pictures; `source.skipped` names them.
        white_levels: of a folder's pictures with more than 8 bits, the level that is white by kind (see
            `thumbnet.data.white_levels`); None: as many bits as the whole set uses.
        in_colour: make grey images colour, with three equal channels.
        show_progress: show on stderr how far a folder is read, where that takes more than two seconds.

    Raises:
        DataError: not found, damaged, not official, not to be downloaded, or not that which `exclude` is of;
            ConfigError: an unknown name, or an `image_size` or `data_dir` that the source has no use for.
    """
    splits = _read_checked(
        data,
        data_dir,
        allow_unverified=allow_unverified,
        image_size=image_size,
        skip_unreadable=skip_unreadable,
        white_levels=white_levels,
        show_progress=show_progress,
    )
    excluded = frozenset() if exclude is None else read_exclusions(exclude, splits.train, splits.class_names)
    train, val, test = complete_splits(splits, val_fraction=val_fraction, split_seed=split_seed, excluded=excluded)
    if (mean is None) != (std is None):
        raise ConfigError("only one of mean and std is given", hint="give both, or neither")
    source = splits.source
    if mean is None or std is None:
        statistics, remark = usable_statistics(train.images)
        mean, std = statistics.mean, statistics.std
        source = replace(source, remarks=(*source.remarks, remark)) if remark else source
    dataset = Dataset(
        train=train,
        val=val,
        test=test,
        class_names=splits.class_names,
        mean=tuple(mean),
        std=tuple(std),
        mirror_keeps_labels=splits.mirror_keeps_labels,
        source=source,
        split_seed=split_seed,
        val_fraction=val_fraction,
        num_excluded=len(excluded),
        white_levels=splits.white_levels,
    )
    return dataset.in_colour() if in_colour else dataset


def load_whole_dataset(
    data: str,
    *,
    data_dir: str | Path | None = None,
    allow_unverified: bool = False,
    image_size: int = IMAGE_SIZE,
    skip_unreadable: bool = False,
    white_levels: WhiteLevels | None = None,
    in_colour: bool = False,
    show_progress: bool = True,
) -> Dataset:
    """All images of a source as test images, for a model that saw none of them; as its train split, too.

    Arguments and errors are those of `load_dataset`; nothing is held out, so that a class may have a single image.
    """
    splits = _read_checked(
        data,
        data_dir,
        allow_unverified=allow_unverified,
        image_size=image_size,
        skip_unreadable=skip_unreadable,
        white_levels=white_levels,
        show_progress=show_progress,
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
        mirror_keeps_labels=splits.mirror_keeps_labels,
        source=splits.source,
        white_levels=splits.white_levels,
    )
    return dataset.in_colour() if in_colour else dataset


def source_name(data: str) -> str:
    """`data` as `Source.name` has it: the paths of folders and files are whole."""
    for prefix in (FOLDER_PREFIX, NPZ_PREFIX):
        if data.startswith(prefix):
            return f"{prefix}{Path(data.removeprefix(prefix)).expanduser().resolve()}"
    return data


def prepare_cifar10(data_dir: str | Path | None = None, *, allow_unverified: bool = False) -> SourceSplits:
    """See that CIFAR-10 is in its folder and read it: what is absent, damaged or not official is downloaded.

    With `allow_unverified`, a copy that is not official is left as it is; errors are those of `load_dataset`.
    """
    folder = data_folder(data_dir)
    if allow_unverified:
        return _read_or_download(folder, allow_unverified=True)
    download_cifar10(folder)
    return read_cifar10(folder)


def download_cifar10(folder: Path) -> None:
    """As in `thumbnet.data.download`, which is imported only here: its HTTP library takes a tenth of a second."""
    from thumbnet.data import download

    download.download_cifar10(folder)


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Where CIFAR-10 is looked for and downloaded to: `data_dir`, else THUMBNET_DATA, else the user's cache folder."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE) or platformdirs.user_cache_dir("thumbnet")
    return Path(chosen).expanduser()


def _read_checked(
    data: str,
    data_dir: str | Path | None,
    *,
    allow_unverified: bool,
    image_size: int,
    skip_unreadable: bool,
    white_levels: WhiteLevels | None,
    show_progress: bool,
) -> SourceSplits:
    """What the source defines; ConfigError for an argument that it has no use for."""
    if data_dir is not None and data.startswith(("digits", NPZ_PREFIX, FOLDER_PREFIX)):
        raise ConfigError(
            f"data_dir is {str(data_dir)!r}, but {data} is not read from there", hint="leave data_dir out (--data-dir)"
        )
    check_image_size(image_size)
    if data.startswith(FOLDER_PREFIX):
        return read_folder(
            Path(data.removeprefix(FOLDER_PREFIX)).expanduser(),
            image_size=image_size,
            skip_unreadable=skip_unreadable,
            white_levels=white_levels,
            show_progress=show_progress,
        )
    if skip_unreadable:
        raise ConfigError(
            f"skip_unreadable is true, but {data} is not read picture by picture", hint="leave skip_unreadable out"
        )
    splits = _read(data, data_folder(data_dir), allow_unverified=allow_unverified)
    side = splits.train.images.shape[2]
    if image_size not in (IMAGE_SIZE, side):
        raise ConfigError(
            f"image_size is {image_size}, but the images of {data} have {side} pixels, and only a folder's are resized",
            hint=f"leave image_size out, or set it to {side}",
        )
    return splits


def _read(data: str, folder: Path, *, allow_unverified: bool) -> SourceSplits:
    if data == "auto":
        return _read_auto(folder, allow_unverified=allow_unverified)
    if data == "cifar10":
        return _read_or_download(folder, allow_unverified=allow_unverified)
    if data == "cifar100":
        return read_cifar100(folder, allow_unverified=allow_unverified)
    if data == "digits":
        return read_digits()
    if data.startswith(NPZ_PREFIX):
        return read_npz(Path(data.removeprefix(NPZ_PREFIX)).expanduser())
    raise ConfigError(f"unknown data {data!r}", hint=f"choose {CHOICES}")


def _read_or_download(folder: Path, *, allow_unverified: bool) -> SourceSplits:
    try:
        return read_cifar10(folder, allow_unverified=allow_unverified)
    except DatasetNotFoundError:
        download_cifar10(folder)
        return read_cifar10(folder, allow_unverified=allow_unverified)


def _read_auto(folder: Path, *, allow_unverified: bool) -> SourceSplits:
    """CIFAR-10, or the digits where it is neither on disk nor to be downloaded; every other trouble is an error."""
    try:
        return _read_or_download(folder, allow_unverified=allow_unverified)
    except DownloadError as error:
        digits = read_digits()
        note = (
            f"CIFAR-10 is not in {folder} and could not be downloaded ({error.message}). "
            f"The embedded handwritten digits stand in for it: {digits.source.description}"
        )
        return replace(digits, source=replace(digits.source, note=note))
