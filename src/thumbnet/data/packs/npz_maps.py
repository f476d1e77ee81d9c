"""An .npz file too large to be in memory beside everything else: its images go into the cache once, some at a time."""

from __future__ import annotations

from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from thumbnet.data.arrays import images_from_array
from thumbnet.data.memory import IN_MEMORY_SHARE, available_bytes
from thumbnet.data.npz import read_npz, unpacked_bytes
from thumbnet.data.packs.file_entries import splits_of_entry
from thumbnet.data.packs.listing import images_file
from thumbnet.data.packs.place import open_cache
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.rows import PartDigests
from thumbnet.data.packs.store import write_the_rest
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import DataError
from thumbnet.terminal.streams import tell

READER_VERSION = 1  # raised with whatever changes the images that an array becomes
CHUNK_BYTES = 2**24


def read_npz_or_map(path: Path, *, show_progress: bool = True) -> SourceSplits:
    """The splits of an .npz file: in memory where they take a quarter of what is free or less, else as maps.

    Errors are those of `read_npz`.
    """
    folder = open_cache()
    if folder is None or unpacked_bytes(path) <= IN_MEMORY_SHARE * available_bytes():
        return read_npz(path)
    try:
        return _mapped(path, folder, show_progress=show_progress)
    except OSError as error:
        if show_progress:
            tell(f"The arrays of {path} are read into memory: {error.strerror or error} ({folder}).")
    return read_npz(path)


def _mapped(path: Path, folder: Path, *, show_progress: bool) -> SourceSplits:
    def make(place: Path) -> dict[str, RowFile]:
        return _write(path, place)

    splits = splits_of_entry(
        folder, path, kind=f"npz {READER_VERSION}", files=[path], make=make, show_progress=show_progress
    )
    return replace(splits, source=replace(splits.source, name=f"npz:{path.resolve()}"))


def _write(path: Path, folder: Path) -> dict[str, RowFile]:
    """Make a pack of the file's arrays, of which no images are in memory all at once; the files of its images."""
    parts: dict[str, PartDigests] = {}
    files: dict[str, RowFile] = {}

    failures: list[OSError] = []

    def read_rows(name: str, content: BufferedIOBase) -> UInt8[np.ndarray, "n c h w"]:
        split = name.removesuffix("images").rstrip("_") or "train"
        try:
            files[split], parts[split] = write_array(folder / images_file(split), content, name=f"{path}: {name}")
        except OSError as error:
            failures.append(error)
            raise
        return files[split].mapped()

    try:
        splits = read_npz(path, read_rows=read_rows)
    except DataError:
        if failures:  # not the file is at fault
            raise failures[0] from None
        raise
    write_the_rest(folder, splits, parts)
    return files


def write_array(path: Path, content: BufferedIOBase, *, name: str) -> tuple[RowFile, PartDigests]:
    """Images in the form of an .npy file, as `images_from_array` takes them, written as uint8 [N,C,H,W]; the file and
    the checksums of its parts.

    Raises:
        DataError: as `images_from_array`; or the array is in Fortran's order. ValueError: it is no such file.
    """
    version = np.lib.format.read_magic(content)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(content)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    if is_fortran or len(shape) < 3 or 0 in shape:
        raise DataError(
            f"{name} is {dtype} {list(shape)}{' in the order of Fortran' if is_fortran else ''}",
            hint="save images as [N,H,W], [N,H,W,C] or [N,C,H,W], as numpy.ascontiguousarray makes them",
        )
    row_bytes = dtype.itemsize * int(np.prod(shape[1:]))
    made: RowFile | None = None
    step = max(1, CHUNK_BYTES // row_bytes)
    for first in range(0, shape[0], step):
        number = min(step, shape[0] - first)
        chunk = content.read(number * row_bytes)
        if len(chunk) != number * row_bytes:
            raise ValueError(f"it ends after {first + len(chunk) // row_bytes:,} of {shape[0]:,} images")
        images = images_from_array(np.frombuffer(chunk, dtype).reshape(number, *shape[1:]), name=name)
        if made is None:
            _, channels, height, width = images.shape
            made = RowFile.create(path, (shape[0], channels, height, width))
        made.write(first, images)
    assert made is not None
    made.flush()
    return made, tuple((first, last, made.digest(first, last)) for first, last in made.parts())
