"""Entries of the cache that are made of whole files: known by the files' sizes and times."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from thumbnet.atomic import write_atomically
from thumbnet.data.packs.facts import new_facts
from thumbnet.data.packs.manifest import MANIFEST, read_manifest
from thumbnet.data.packs.place import BUILDING_SUFFIX, lock_of, locked, remove, replace_folder, tidy
from thumbnet.data.packs.row_file import RowFile
from thumbnet.data.packs.store import check_images, note_verified, read_splits
from thumbnet.data.source_splits import SourceSplits
from thumbnet.errors import DataError
from thumbnet.terminal.streams import tell

FILE = "file.json"  # sizes and times of the files that an entry was made of


def splits_of_entry(
    folder: Path,
    path: Path,
    *,
    kind: str,
    files: Sequence[Path],
    make: Callable[[Path], dict[str, RowFile]],
    show_progress: bool = True,
) -> SourceSplits:
    """The splits of the cache's entry of `path`, made now unless it is there, is whole, and the files have not changed.

    Args:
        folder: the cache's.
        kind: of entry, and the version of what made it, as a text.
        files: those that decide what the entry is.
        make: makes a pack in a folder, and gives the files of its images; its errors are raised.
    """
    whole = path.resolve()
    digest = hashlib.sha256(os.fsencode(whole) + kind.encode()).hexdigest()
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:40]
    entry = folder / f"{readable or 'arrays'}-{digest[:16]}"
    building = entry.with_name(entry.name + BUILDING_SUFFIX)
    with locked(lock_of(entry), waits=lambda: tell(f"Another process reads {path}: waiting for it.")):
        state = _state(files)
        splits: SourceSplits | None = None
        if _is_of(entry, state):
            try:
                splits = _read(entry, show_progress=show_progress)
            except DataError as error:
                if show_progress:
                    tell(f"{path} is brought into the cache anew: {error.message}.")
                remove(entry)
        if splits is None:
            _make(building, make, state)
            replace_folder(building, entry)
            tidy(folder)
            splits = _read(entry, show_progress=show_progress)
        with suppress(OSError):
            os.utime(entry / MANIFEST)
    return splits


def _make(building: Path, make: Callable[[Path], dict[str, RowFile]], state: list[int]) -> None:
    """Make an entry in the folder `building`, of files with this state; nothing is left of it where that fails."""
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        made = make(building)
        write_atomically(building / FILE, json.dumps(state))
        note_verified(building, made)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _read(entry: Path, *, show_progress: bool) -> SourceSplits:
    """DataError where the entry is damaged."""
    manifest = read_manifest(entry)
    return read_splits(entry, manifest, check_images(entry, manifest, show_progress=show_progress))


def _state(files: Sequence[Path]) -> list[int]:
    """The files' sizes and times, as an entry keeps them."""
    facts = new_facts(list(files), now_ns=time.time_ns())
    return [int(each[name]) for each in facts for name in ("size", "mtime_ns", "ctime_ns")]


def _is_of(entry: Path, state: list[int]) -> bool:
    """Whether an entry is whole, and was made of the files as they are now."""
    try:
        read_manifest(entry)
        return min(state) >= 0 and json.loads((entry / FILE).read_bytes()) == state
    except (DataError, OSError, ValueError, RecursionError):
        return False
