"""A pack written and read: images beside their labels, paths and manifest.

Images are read whole and compared with their checksums once; afterwards, only where a file's size, times or number in
the file system differ from those noted then.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from thumbnet.atomic import write_atomically
from thumbnet.data.dataset import SPLIT_NAMES, Source, Split
from thumbnet.data.images import READER_VERSION
from thumbnet.data.memory import IN_MEMORY_SHARE, available_bytes, memory_limit_bytes
from thumbnet.data.npy import array_from_bytes
from thumbnet.data.packs.kept import Origin
from thumbnet.data.packs.listing import images_file
from thumbnet.data.packs.manifest import (
    HINT,
    Manifest,
    StoredSource,
    StoredSplit,
    write_manifest,
)
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.rows import PartDigests
from thumbnet.data.picture_request import PROGRESS_AFTER_S
from thumbnet.data.picture_sides import PictureSides
from thumbnet.data.pictures import progress_line
from thumbnet.data.source_splits import SourceSplits
from thumbnet.data.streamed import streamed
from thumbnet.errors import DataError
from thumbnet.terminal.text import escaped

VERIFIED = "verified.json"


def write_images(folder: Path, split: str, images: UInt8[Tensor, "n c h w"]) -> tuple[RowFile, PartDigests]:
    """Write images, a part at a time; their file and the checksums of its parts."""
    number, channels, height, width = images.shape
    file = RowFile.create(folder / images_file(split), (number, channels, height, width))
    parts = tuple((first, last, file.write(first, images[first:last].numpy())) for first, last in file.parts())
    file.flush()
    return file, parts


def write_the_rest(
    folder: Path,
    splits: SourceSplits,
    parts: Mapping[str, PartDigests],
    *,
    known: Manifest | None = None,
    picture_sides: PictureSides | None = None,
) -> Manifest:
    """Write labels, paths and manifest of images that are written; nothing where the manifest is `known`."""
    contents: dict[str, bytes] = {}
    stored: dict[str, StoredSplit] = {}
    for name in SPLIT_NAMES:
        split: Split | None = getattr(splits, name)
        if split is not None:
            labels = io.BytesIO()
            np.save(labels, split.labels.numpy(), allow_pickle=False)
            contents[_labels_file(name)] = labels.getvalue()
            if split.paths is not None:
                contents[_paths_file(name)] = json.dumps(split.paths).encode()
            number, channels, height, width = split.images.shape
            stored[name] = StoredSplit(
                shape=(number, channels, height, width),
                parts=parts[name],
                labels_sha256=_sha256(contents[_labels_file(name)]),
                paths_sha256=None if split.paths is None else _sha256(contents[_paths_file(name)]),
            )
    source = splits.source
    manifest = Manifest(
        source=StoredSource(escaped(source.name), escaped(source.description), source.remarks, source.skipped),
        class_names=splits.class_names,
        splits=stored,
        flip_keeps_labels=splits.flip_keeps_labels,
        reader=READER_VERSION,
        fit=splits.fit,
        labels_from=splits.labels_from,
        white_levels=dict(splits.white_levels),
        picture_sides=picture_sides,
    )
    if manifest != known:
        for file, content in contents.items():
            write_atomically(folder / file, content)
        write_manifest(folder, manifest)
    return manifest


def check_images(folder: Path, manifest: Manifest, *, show_progress: bool = True) -> dict[str, RowFile]:
    """The files of the images, which have the shapes and the checksums that the manifest states.

    Raises:
        DataError: one is not there, or is damaged.
    """
    files = {name: RowFile.open(folder / images_file(name), split.shape) for name, split in manifest.splits.items()}
    noted = _noted(folder)
    new = {file.path.name: _identity(file.path) for file in files.values()}
    unknown = {name: file for name, file in files.items() if noted.get(file.path.name) != new[file.path.name]}
    if unknown:
        total = sum(len(file) for file in unknown.values())
        with progress_line("checking images", total=total, show=show_progress, after_s=PROGRESS_AFTER_S) as advance:
            for name, file in unknown.items():
                for first, last, expected in manifest.splits[name].parts:
                    _check_part(file, first, last, expected)
                    advance(last - first)
        note_verified(folder, files)
    return files


def note_verified(folder: Path, files: Mapping[str, RowFile]) -> None:
    """Keep that the images are right as they are now, where the folder can be written."""
    values = {file.path.name: _identity(file.path) for file in files.values()}
    with suppress(OSError):
        write_atomically(folder / VERIFIED, json.dumps(values))


def read_splits(folder: Path, manifest: Manifest, files: Mapping[str, RowFile]) -> SourceSplits:
    """The splits of a pack; images are read when they are used.

    Raises:
        DataError: labels or paths are not there, or are damaged.
    """
    splits = {name: _read_split(folder, name, manifest, file) for name, file in files.items()}
    splits = on_disk(splits, files, manifest)
    return SourceSplits(
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        class_names=manifest.class_names,
        flip_keeps_labels=manifest.flip_keeps_labels,
        source=Source(
            manifest.source.name,
            manifest.source.description,
            remarks=manifest.source.remarks,
            skipped=manifest.source.skipped,
        ),
        white_levels=manifest.white_levels,
        fit=manifest.fit,
        labels_from=manifest.labels_from,
    )


def origin_of(folder: Path, manifest: Manifest, name: str) -> Origin:
    """Where a split's images are from."""
    return Origin(folder, f"{manifest.signature()}:{name}")


def on_disk(splits: Mapping[str, Split], files: Mapping[str, RowFile], manifest: Manifest) -> dict[str, Split]:
    """The same splits, whose images stay in their files where those of all splits are more than memory takes, or has
    free now: else a selection of them would be a copy in memory."""
    is_large = manifest.num_bytes > memory_limit_bytes()
    if is_large or manifest.num_bytes > IN_MEMORY_SHARE * available_bytes():
        return {name: replace(split, images=streamed(files[name], is_large=is_large)) for name, split in splits.items()}
    return dict(splits)


def _read_split(folder: Path, name: str, manifest: Manifest, file: RowFile) -> Split:
    stored = manifest.splits[name]
    content = _read(folder / _labels_file(name), stored.labels_sha256)
    try:
        labels = _labels_from(content, len(manifest.class_names))
        paths = None
        if stored.paths_sha256 is not None:
            paths = _paths_from(_read(folder / _paths_file(name), stored.paths_sha256))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{folder} is damaged: its labels or paths of {name}: {error}", hint=HINT) from error
    return Split(torch.from_numpy(file.mapped()), labels, paths, origin=origin_of(folder, manifest, name))


def _labels_from(content: bytes, num_classes: int) -> Int64[Tensor, " n"] | UInt8[Tensor, "n k"]:
    """The labels in a file's content; ValueError where they cannot be those of so many classes."""
    array = array_from_bytes(content)
    is_single = array.dtype == np.int64 and array.ndim == 1
    is_several = array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == num_classes
    if not (is_single or is_several):
        raise ValueError(f"the labels are {array.dtype} {list(array.shape)}")
    highest = num_classes - 1 if is_single else 1
    if array.size and not (array.min() >= 0 and array.max() <= highest):
        raise ValueError(f"a label is not one of 0 to {highest}")
    return torch.from_numpy(array)


def _paths_from(content: bytes) -> tuple[str, ...]:
    """The paths in a file's content; ValueError where it is no list of texts that can be written."""
    paths = json.loads(content)
    if not (isinstance(paths, list) and all(isinstance(path, str) for path in paths)):
        raise ValueError("the paths are no list of texts")
    "".join(paths).encode()  # half a character, as \ud800 is, cannot be written anywhere
    return tuple(paths)


def _read(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", hint=HINT) from error
    if _sha256(content) != expected:
        raise DataError(f"{path} is damaged: its checksum is not that of the manifest", hint=HINT)
    return content


def _check_part(file: RowFile, first: int, last: int, expected: str) -> None:
    try:
        is_right = file.digest(first, last) == expected
    except OSError as error:
        raise DataError(f"{file.path} cannot be read: {error.strerror}", hint=HINT) from error
    if not is_right:
        raise DataError(
            f"{file.path} is damaged: the images {first:,} to {last - 1:,} have not the checksum of the manifest",
            hint=HINT,
        )


def _identity(path: Path) -> list[int]:
    """What changes with a file's content, as far as the file system tells."""
    found = os.stat(path)  # noqa: PTH116
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _noted(folder: Path) -> dict[str, object]:
    try:
        values = json.loads((folder / VERIFIED).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _labels_file(split: str) -> str:
    return f"{split}-labels.npy"


def _paths_file(split: str) -> str:
    return f"{split}-paths.json"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
