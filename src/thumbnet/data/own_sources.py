"""How thumbnet's own data sources are read: CIFAR from its folder or the network, the digits, folders, npz files."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import platformdirs

from thumbnet.data import cifar, digits, folder
from thumbnet.data.packs import packed
from thumbnet.data.packs.cache import read_through_cache
from thumbnet.data.packs.cifar_maps import read_cifar_or_map
from thumbnet.data.packs.npz_maps import read_npz_or_map
from thumbnet.data.picture_request import ReadPictures
from thumbnet.data.reading import chosen_reader
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import DatasetNotFoundError, DownloadError
from thumbnet.specs.data import DataSpec, ReadOptions, expanded

DATA_DIR_VARIABLE = "THUMBNET_DATA"
NO_HOME = "~"  # what a path in the home folder begins with where there is none


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Where CIFAR-10 is looked for and downloaded to: `data_dir`, else THUMBNET_DATA, else the user's cache folder."""
    chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    return expanded(chosen) if chosen else cache_folder()


def cache_folder() -> Path:
    """The user's cache folder for data; a path that is not absolute if the user has no home."""
    try:
        return Path(platformdirs.user_cache_dir("thumbnet"))
    except RuntimeError:  # how some versions say that there is no home
        return Path(NO_HOME)


def prepare_cifar10(data_dir: str | Path | None = None, *, allow_unverified: bool = False) -> SourceSplits:
    """See that CIFAR-10 is in its folder and read it: what is absent, damaged or not official is downloaded.

    With `allow_unverified`, a copy that is not official is left as it is; errors are those of `load_dataset`.
    """
    place = data_folder(data_dir)
    if allow_unverified:
        return _read_or_download(place, allow_unverified=True, show_progress=False)
    download_cifar10(place)
    return cifar.read_cifar10(place)


def download_cifar10(place: Path) -> None:
    """As in `thumbnet.data.download`, which is imported only here: its HTTP library takes a tenth of a second."""
    from thumbnet.data import download

    download.download_cifar10(place)


def read_cifar10(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    """CIFAR-10, downloaded where it is not on disk."""
    return _read_or_download(data_folder(spec.data_dir), spec.allow_unverified, show_progress=options.show_progress)


def read_cifar100(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    """CIFAR-100, which is never downloaded."""
    place = data_folder(spec.data_dir)
    return read_cifar_or_map(
        "cifar100", place, allow_unverified=spec.allow_unverified, show_progress=options.show_progress
    )


def read_digits(_spec: DataSpec, _options: ReadOptions) -> SourceSplits:
    """The embedded digits."""
    return digits.read_digits()


def read_npz(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    """The arrays of an npz file."""
    return read_npz_or_map(spec.path, show_progress=options.show_progress)


def read_folder(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    """The pictures of a folder, decoded once: see packs/cache.py."""

    def read(reader: ReadPictures) -> SourceSplits:
        return folder.read_folder(
            spec.path,
            image_size=options.wanted_sides,
            fit=options.fit,
            skip_unreadable=options.skip_unreadable,
            white_levels=options.white_levels,
            labels=options.labels,
            division=options.division,
            val_fraction=options.val_fraction,
            show_progress=options.show_progress,
            auto_sides=options.auto_sides,
            read=reader,
        )

    chosen = chosen_reader()
    return read_through_cache(read, show_progress=options.show_progress) if chosen is None else read(chosen)


def read_packed(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    """The images of a pack."""
    return packed.read_packed(
        spec.path,
        white_levels=options.white_levels,
        fit=options.fit,
        labels=options.labels,
        show_progress=options.show_progress,
    )


def read_auto(spec: DataSpec, options: ReadOptions) -> SourceSplits:
    """CIFAR-10, or the digits where it is neither on disk nor to be downloaded; every other trouble is an error."""
    place = data_folder(spec.data_dir)
    try:
        return _read_or_download(place, spec.allow_unverified, show_progress=options.show_progress)
    except DownloadError as error:
        splits = digits.read_digits()
        note = (
            f"CIFAR-10 is not in {place} and could not be downloaded ({error.message}). "
            f"The embedded handwritten digits stand in for it: {splits.source.description}"
        )
        return replace(splits, source=replace(splits.source, note=note))


def _read_or_download(place: Path, allow_unverified: bool, *, show_progress: bool) -> SourceSplits:
    read = partial(read_cifar_or_map, "cifar10", place, allow_unverified=allow_unverified, show_progress=show_progress)
    try:
        return read()
    except DatasetNotFoundError:
        _check_writable(place)
        download_cifar10(place)
        return read()


def _check_writable(place: Path) -> None:
    """DownloadError where data cannot be kept in this folder."""
    hint = f"name a folder that you may write, with --data-dir or {DATA_DIR_VARIABLE}"
    if not place.is_absolute() and place.parts[:1] == (NO_HOME,):
        raise DownloadError("the user has no home folder to keep it in", hint=hint)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"the folder {place} cannot be written: {error.strerror or error}", hint=hint) from error
    if not os.access(place, os.W_OK):
        raise DownloadError(f"the folder {place} cannot be written", hint=hint)
