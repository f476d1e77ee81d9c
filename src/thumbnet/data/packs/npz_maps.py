"""An .npz file too large to be in memory beside everything else: its images go into the cache once, some at a time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from thumbnet.atomic import write_atomically
from thumbnet.data.arrays import images_from_array
from thumbnet.data.dataset import SourceSplits
from thumbnet.data.memory import available_bytes
from thumbnet.data.npz import read_npz, unpacked_bytes
from thumbnet.data.packs.facts import new_facts
from thumbnet.data.packs.listing import images_file
from thumbnet.data.packs.manifest import MANIFEST, Manifest, read_manifest
from thumbnet.data.packs.place import BUILDING_SUFFIX, lock_of, locked, open_cache, remove, replace_folder, tidy
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.rows import PartDigests
from thumbnet.data.packs.store import check_images, note_verified, read_splits, write_the_rest
from thumbnet.errors import DataError
from thumbnet.terminal.streams import tell

IN_MEMORY_SHARE = 0.25  # of the memory that is free: what takes more is mapped
READER_VERSION = 1  # raised with whatever changes the images that an array becomes
FILE = "file.json"  # size and times of the .npz file that an entry was made of
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
    whole = path.resolve()
    digest = hashlib.sha256(os.fsencode(whole) + f"npz {READER_VERSION}".encode()).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:40]
    entry = folder / f"{readable or 'arrays'}-{digest[:16]}"
    building = entry.with_name(entry.name + BUILDING_SUFFIX)
    with locked(lock_of(entry), waits=lambda: tell(f"Another process reads {path}: waiting for it.")):
        state = _state(path)
        if not _is_of(entry, state):
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            try:
                _write(path, building, state)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
            replace_folder(building, entry)
            tidy(folder)
        try:
            manifest = read_manifest(entry)
            files = check_images(entry, manifest, show_progress=show_progress)
            splits = read_splits(entry, manifest, files)
        except DataError:
            remove(entry)  # the next start makes it anew
            raise
        with suppress(OSError):
            os.utime(entry / MANIFEST)
    return replace(splits, source=replace(splits.source, name=f"npz:{whole}"))


def _state(path: Path) -> list[int]:
    """The file's size and times, as an entry keeps them."""
    (facts,) = new_facts([path], now_ns=time.time_ns())
    return [int(facts[name]) for name in ("size", "mtime_ns", "ctime_ns")]


def _is_of(entry: Path, state: list[int]) -> bool:
    """Whether an entry is whole, and was made of the file as it is now."""
    try:
        read_manifest(entry)
        return min(state) >= 0 and json.loads((entry / FILE).read_bytes()) == state
    except (DataError, OSError, ValueError, RecursionError):
        return False


def _write(path: Path, folder: Path, state: list[int]) -> Manifest:
    """Make a pack of the file's arrays, of which no images are in memory all at once."""
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
    manifest = write_the_rest(folder, splits, parts)
    write_atomically(folder / FILE, json.dumps(state))
    note_verified(folder, files)
    return manifest


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
