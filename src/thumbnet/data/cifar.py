"""CIFAR-10 and CIFAR-100 from the official files: the binary or the python release, extracted or as the .tar.gz.

50,000 training and 10,000 test images, uint8 [N,3,32,32], of 10 or 100 classes. Formats: https://www.cs.toronto.edu/~kriz/cifar.html.
A binary batch is a row of records of 3073 or 3074 bytes: the label (after the coarse one, in CIFAR-100), then the red,
green and blue plane, each row by row. A python batch is a pickle of a dictionary, written by Python 2, with the same
planes as the rows of an array.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from thumbnet.data.checksums import BINARY, CIFAR10_CLASSES, CIFAR100_RELEASES, PYTHON, RELEASES, Release
from thumbnet.data.cifar_pickle import PickledArray, PickledDtype, load_batch_pickle
from thumbnet.data.dataset import Source, Split
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import ChecksumError, DataError, DatasetNotFoundError

CLASS_NAMES = CIFAR10_CLASSES
IMAGE_SHAPE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32
MAX_FILE_BYTES = 200_000_000  # the largest official file, CIFAR-100's training images, has 155 million
MAX_ARCHIVE_BYTES = 400_000_000  # of what an archive unpacks to: twice an official one

REPAIR_HINT = "`thumbnet data prepare` fetches the official files"
REPAIR_HINTS = {
    "CIFAR-10": REPAIR_HINT,
    "CIFAR-100": "fetch its archive anew from https://www.cs.toronto.edu/~kriz/cifar.html",
}


@dataclass(frozen=True)
class Batch:
    """The images uint8 [N,3072] and labels int64 [N] (from 0) of one file."""

    images: UInt8[np.ndarray, "n 3072"]
    labels: Int64[np.ndarray, " n"]


def read_cifar10(
    data_dir: Path, *, allow_unverified: bool = False, releases: Sequence[Release] = RELEASES
) -> SourceSplits:
    """CIFAR-10's own training and test split: images uint8 [N,3,32,32], labels int64 [N].

    A file's form is checked before its checksum, so that a truncated file is called that, and is refused even where
    unverified files are allowed.

    Args:
        data_dir: the folder that holds, in this order of preference, `cifar-10-batches-bin/`, `cifar-10-batches-py/`,
            `cifar-10-binary.tar.gz` or `cifar-10-python.tar.gz`.
        allow_unverified: accept well-formed files that are not the official ones; `source.verified` is then False.
        releases: the published forms to look for.

    Raises:
        DatasetNotFoundError: none of them is there.
        ChecksumError: a file is not the official one.
        DataError: a file is missing, truncated or malformed.
    """
    return read_release(data_dir, "cifar10", releases, allow_unverified=allow_unverified)


def read_cifar100(
    data_dir: Path, *, allow_unverified: bool = False, releases: Sequence[Release] = CIFAR100_RELEASES
) -> SourceSplits:
    """CIFAR-100's own training and test split, with its 100 fine classes; otherwise as `read_cifar10`.

    In order of preference, `data_dir` holds `cifar-100-python/`, `cifar-100-binary/` or one of their .tar.gz. Of
    the extracted binary files no checksum is published: `source.verified` is then None.
    """
    return read_release(data_dir, "cifar100", releases, allow_unverified=allow_unverified)


def join_in_memory(_split: str, batches: Sequence[Batch]) -> Split:
    """The images and labels of a split's batches, one after the other."""
    images = np.concatenate([batch.images for batch in batches]).reshape(-1, *IMAGE_SHAPE)
    labels = np.concatenate([batch.labels for batch in batches])
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


def read_release(
    data_dir: Path,
    name: str,
    releases: Sequence[Release],
    *,
    allow_unverified: bool = False,
    join: Callable[[str, Sequence[Batch]], Split] = join_in_memory,
) -> SourceSplits:
    """What `read_cifar10` and `read_cifar100` give; `join` makes a split of its name and its batches."""
    release, path = find_release(data_dir, releases)
    if path.name == release.folder:
        contents = _read_folder(path, release)
        differing = [file for file, content in contents.items() if not release.is_official(file, content)]
        verified = None if not release.can_be_verified else not differing
    else:
        contents = read_archive(path, release)
        differing = [] if release.is_official_archive(path) else [release.archive]
        verified = not differing
    decode = decode_binary_batch if release.name == "binary" else decode_python_batch
    batches = [decode(contents[file], path / file, release) for file in release.batch_files]
    if differing and not allow_unverified:
        raise ChecksumError(
            f"{path if path.is_dir() else data_dir} holds what differs from the published file: {', '.join(differing)}",
            hint=f"{REPAIR_HINTS[release.dataset]} if the data is damaged; --allow-unverified reads it as it is, "
            "and a run records that",
        )
    state = f"not as published: {', '.join(differing)}" if differing else "every file as published"
    if verified is None:
        state = "its files' checksums are not published"
    description = f"{release.dataset}, {release.name} release ({path.name}), {state}"
    return SourceSplits(
        train=join("train", batches[:-1]),
        val=None,
        test=join("test", batches[-1:]),
        class_names=release.class_names,
        flip_keeps_labels=True,
        source=Source(name, description, verified=verified),
    )


def read_archive(path: Path, release: Release, *, max_bytes: int = MAX_ARCHIVE_BYTES) -> dict[str, bytes]:
    """The content of every expected file of a release's .tar.gz, by file name; nothing is written to disk.

    DataError if the archive is damaged, a batch file is not in it, or it unpacks to more than `max_bytes`.
    """
    members = {f"{release.folder}/{file}": file for file in release.files}
    contents: dict[str, bytes] = {}
    try:
        with gzip.open(path) as unpacked:
            stream = _Limited(unpacked, path, max_bytes)
            with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as archive:
                for member in archive:
                    if member.name in members and member.size > min(max_bytes, MAX_FILE_BYTES):
                        raise _too_large(path, member.size)
                    content = archive.extractfile(member) if member.name in members else None
                    if content is not None:
                        contents[members[member.name]] = content.read()
            while stream.read(1 << 20):  # gzip compares its own checksum at the end only
                pass
    except DataError:
        raise
    except Exception as error:  # a damaged archive raises whatever its parsing runs into
        raise DataError(f"{path} is damaged or cannot be read: {error}", hint=REPAIR_HINTS[release.dataset]) from error
    _check_complete(path, contents, release)
    return contents


def decode_binary_batch(content: bytes, path: Path, release: Release = BINARY) -> Batch:
    """The images and labels of a binary batch file; DataError naming `path` if its form is wrong."""
    record_bytes = release.label_bytes + IMAGE_BYTES
    if not content or len(content) % record_bytes:
        raise DataError(
            f"{path} is truncated or damaged: {len(content)} bytes, expected records of {record_bytes}",
            hint=REPAIR_HINTS[release.dataset],
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record_bytes)
    labels = records[:, release.label_bytes - 1].astype(np.int64)
    _check_label(int(labels.max()), path, release)
    return Batch(records[:, release.label_bytes :], labels)


def decode_python_batch(content: bytes, path: Path, release: Release = PYTHON) -> Batch:
    """The images and labels of a python batch file; DataError naming `path` if its form is wrong.

    Of what a pickle may ask for, only a dictionary of lists, byte strings and a NumPy array is ever built.
    """
    hint = REPAIR_HINTS[release.dataset]
    try:
        fields = load_batch_pickle(content)
    except Exception as error:  # a damaged pickle raises almost anything
        raise DataError(f"{path} is damaged, or no {release.dataset} pickle: {error}", hint=hint) from error
    labels = fields.get(release.label_key) if isinstance(fields, dict) else None
    match fields:
        case {
            b"data": PickledArray(
                state=(1, (int(num_images), 3072), PickledDtype(args=(b"u1" | "u1", *_)), False, bytes(pixels))
            )
        } if (
            isinstance(labels, list)
            and len(pixels) == num_images * IMAGE_BYTES
            and len(labels) == num_images > 0
            and all(type(label) is int for label in labels)
        ):
            _check_label(min(labels), path, release)
            _check_label(max(labels), path, release)
            return Batch(np.frombuffer(pixels, np.uint8).reshape(-1, IMAGE_BYTES), np.array(labels, np.int64))
    key = release.label_key.decode()
    raise DataError(
        f"{path} is damaged: expected `data`, a uint8 array [N,{IMAGE_BYTES}], and `{key}`, a list of N integers",
        hint=hint,
    )


class _Limited(io.BufferedIOBase):
    """A stream that may give at most `max_bytes`."""

    def __init__(self, stream: gzip.GzipFile, path: Path, max_bytes: int) -> None:
        super().__init__()
        self._stream, self._path, self._max_bytes, self._num_read = stream, path, max_bytes, 0

    def read(self, size: int | None = -1) -> bytes:
        content = self._stream.read(size)
        self._num_read += len(content)
        if self._num_read > self._max_bytes:
            raise _too_large(self._path, self._num_read)
        return content


def _too_large(path: Path, num_bytes: int) -> DataError:
    return DataError(
        f"{path} is too large: it holds {num_bytes / 1e6:,.0f} MB or more, and no official file does",
        hint="give the official files, or images of your own as folder:PATH or npz:FILE",
    )


def find_release(data_dir: Path, releases: Sequence[Release]) -> tuple[Release, Path]:
    """The first of these that is in the folder, and its own folder or archive; DatasetNotFoundError if none is."""
    candidates = [(release, data_dir / release.folder) for release in releases]
    candidates += [(release, data_dir / release.archive) for release in releases]
    for release, path in candidates:
        if path.exists():
            return release, path
    names = [path.name for _, path in candidates]
    dataset = releases[0].dataset
    if data_dir.resolve().name in names:
        hint = f"give the folder that holds it instead: {data_dir.resolve().parent}"
    else:
        verb = "`thumbnet data prepare` downloads it there" if dataset == "CIFAR-10" else REPAIR_HINTS[dataset]
        hint = f"{verb}; --data-dir or THUMBNET_DATA name another folder"
    raise DatasetNotFoundError(f"no {dataset} in {data_dir}: looked for {', '.join(names)}", hint=hint)


def _read_folder(folder: Path, release: Release) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for file in release.files:
        try:
            size = (folder / file).stat().st_size
            if size > MAX_FILE_BYTES:
                raise _too_large(folder / file, size)
            if (folder / file).is_fifo():  # which would keep us waiting
                raise DataError(f"{folder / file} is a pipe, not a file", hint=REPAIR_HINTS[release.dataset])
            contents[file] = (folder / file).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(
                f"{folder / file} cannot be read: {error.strerror}", hint="check the file and its permissions"
            ) from error
    _check_complete(folder, contents, release)
    return contents


def _check_complete(path: Path, contents: dict[str, bytes], release: Release) -> None:
    missing = [file for file in release.batch_files if file not in contents]
    if missing:
        raise DataError(
            f"{path} is only a part of {release.dataset}: {', '.join(missing)} missing",
            hint=REPAIR_HINTS[release.dataset],
        )


def _check_label(label: int, path: Path, release: Release) -> None:
    largest = len(release.class_names) - 1
    if not 0 <= label <= largest:
        raise DataError(
            f"{path} is damaged: label {label}, expected 0 to {largest}", hint=REPAIR_HINTS[release.dataset]
        )
