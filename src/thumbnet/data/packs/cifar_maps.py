"""CIFAR where it would take more than a quarter of the memory that is free: its images go into the cache once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from thumbnet.data.checksums import CIFAR100_RELEASES, RELEASES, Release
from thumbnet.data.cifar import IMAGE_SHAPE, Batch, find_release, read_release
from thumbnet.data.dataset import Split
from thumbnet.data.memory import IN_MEMORY_SHARE, available_bytes
from thumbnet.data.packs.file_entries import splits_of_entry
from thumbnet.data.packs.listing import images_file
from thumbnet.data.packs.place import open_cache
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.rows import PartDigests
from thumbnet.data.packs.store import write_the_rest
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ChecksumError
from thumbnet.terminal.streams import tell

READER_VERSION = 1  # raised with whatever changes the images that a file becomes
NUM_BYTES = 60_000 * 3 * 32 * 32
RELEASES_OF: Mapping[str, Sequence[Release]] = {"cifar10": RELEASES, "cifar100": CIFAR100_RELEASES}


def read_cifar_or_map(
    name: str, data_dir: Path, *, allow_unverified: bool = False, show_progress: bool = True
) -> SourceSplits:
    """`cifar10` or `cifar100`: in memory where it takes a quarter of what is free or less, else as maps.

    The files are compared with their checksums when the entry of the cache is made; those that are not as published
    are read into memory. Errors are those of `read_release`.
    """
    releases = RELEASES_OF[name]
    folder = open_cache() if IN_MEMORY_SHARE * available_bytes() < NUM_BYTES else None
    if folder is not None:
        try:
            return _mapped(name, data_dir, releases, folder, show_progress=show_progress)
        except ChecksumError:
            if not allow_unverified:
                raise
        except OSError as error:
            if show_progress:
                tell(f"{name} is read into memory: {error.strerror or error} ({folder}).")
    return read_release(data_dir, name, releases, allow_unverified=allow_unverified)


def _mapped(
    name: str, data_dir: Path, releases: Sequence[Release], folder: Path, *, show_progress: bool
) -> SourceSplits:
    release, path = find_release(data_dir, releases)

    def make(place: Path) -> dict[str, RowFile]:
        files: dict[str, RowFile] = {}
        parts: dict[str, PartDigests] = {}

        def join(split: str, batches: Sequence[Batch]) -> Split:
            files[split] = _written(place / images_file(split), batches)
            parts[split] = tuple(
                (first, last, files[split].digest(first, last)) for first, last in files[split].parts()
            )
            labels = np.concatenate([batch.labels for batch in batches])
            return Split(torch.from_numpy(files[split].mapped()), torch.from_numpy(labels))

        write_the_rest(place, read_release(data_dir, name, releases, join=join), parts)
        return files

    is_folder = path.name == release.folder
    files = [path / file for file in release.files if (path / file).exists()] if is_folder else [path]
    splits = splits_of_entry(
        folder, path, kind=f"{name} {READER_VERSION}", files=files, make=make, show_progress=show_progress
    )
    verified = True if release.can_be_verified or not is_folder else None
    return replace(splits, source=replace(splits.source, verified=verified))


def _written(path: Path, batches: Sequence[Batch]) -> RowFile:
    file = RowFile.create(path, (sum(len(batch.labels) for batch in batches), *IMAGE_SHAPE))
    first = 0
    for batch in batches:
        file.write(first, batch.images.reshape(-1, *IMAGE_SHAPE))
        first += len(batch.labels)
    file.flush()
    return file
