"""Where the cache of decoded pictures is: in THUMBNET_CACHE, else in the user's cache folder, and only the user's."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from thumbnet.data.packs.manifest import MANIFEST
from thumbnet.specs.data import expanded

if sys.platform != "win32":
    import fcntl

CACHE_VARIABLE = "THUMBNET_CACHE"
OFF = "off"  # its value where pictures are to be decoded anew each time
LOCK_SUFFIX = ".lock"
BUILDING_SUFFIX = ".building"  # of a folder in which pictures are being decoded
OLD_SUFFIX = ".old"  # of an entry that is being replaced
OTHERS_CAN_WRITE = stat.S_IWGRP | stat.S_IWOTH
MAX_UNUSED_S = 30 * 86_400
ENTRY_NAME = re.compile(r".+-[0-9a-f]{16}")


def cache_place() -> Path | None:
    """The folder of the cache, which need not be there; None where it is switched off, or the user has no home."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if is_switched_off():
        return None
    try:
        folder = expanded(chosen) if chosen else Path(platformdirs.user_cache_dir("thumbnet"))
    except RuntimeError:  # how some versions of platformdirs say that there is no home
        return None
    folder = folder / "packs"
    return folder.resolve() if chosen or folder.is_absolute() else None


def is_switched_off() -> bool:
    """Whether the user wants no cache."""
    return os.environ.get(CACHE_VARIABLE) == OFF


def open_cache() -> Path | None:
    """The folder of the cache, made if need be; None if there can be none that is only the user's.

    Entries in a folder of the user's that others could write to are not trusted: they are removed, and the folder
    closed to others. What is no entry stays: THUMBNET_CACHE may name a folder that has a `packs` of the user's own.
    """
    folder = cache_place()
    if folder is None or sys.platform == "win32":  # which moves no folder of files that are mapped
        return None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or not os.access(folder, os.W_OK):
            return None
        if status.st_mode & 0o077:
            folder.chmod(0o700)
        if status.st_mode & OTHERS_CAN_WRITE:
            for path in filter(is_entry, [*folder.iterdir()]):
                remove(path)
    except OSError:
        return None
    return folder


@contextmanager
def locked(path: Path, *, waits: Callable[[], object] | None) -> Iterator[bool]:
    """Hold the lock file `path`, if its file system has locks; True where it is held.

    `waits` is called first if another process holds it now; without it, that gives False.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            is_held = _lock(descriptor, waits)
            if is_held and not _is_at(path, descriptor):
                continue  # whoever held it has removed it since: the others lock the file that is there now
            yield is_held
            return
        finally:
            os.close(descriptor)


def _lock(descriptor: int, waits: Callable[[], object] | None) -> bool:
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits is None:
                return False
            waits()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it. OSError where that fails."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replace_folder(new: Path, place: Path) -> None:
    """Move a folder to a place, and remove what was there."""
    old = place.with_name(place.name + OLD_SUFFIX)
    if old.exists():
        remove(old)
    if place.exists():
        place.rename(old)
    new.rename(place)
    with suppress(OSError):
        remove(old)


def tidy(folder: Path) -> None:
    """Remove the entries, and the leftovers of readings that were stopped, that nobody used for a month."""
    now_s = time.time()
    for path in filter(is_entry, [*folder.iterdir()]):
        with suppress(OSError):
            used = path / MANIFEST if (path / MANIFEST).exists() else path
            if path.is_dir() and now_s - used.lstat().st_mtime > MAX_UNUSED_S:
                with locked(lock_of(path), waits=None) as is_held:
                    if is_held:
                        remove(path)


def lock_of(path: Path) -> Path:
    """The lock of an entry, or of the folder in which it is being made."""
    name = path.name
    for suffix in (BUILDING_SUFFIX, OLD_SUFFIX):
        name = name.partition(suffix)[0]
    return path.with_name(f"{name}{LOCK_SUFFIX}")


def is_entry(path: Path) -> bool:
    """Whether a name is one that the cache gives: to an entry, its lock, or the folder in which it is being made."""
    name = lock_of(path).name.removesuffix(LOCK_SUFFIX).removesuffix(LOCK_SUFFIX)
    return ENTRY_NAME.fullmatch(name) is not None


def size_on_disk(folder: Path) -> int:
    """Bytes that the files below a folder take."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            if not path.is_dir():
                total += path.lstat().st_size
    return total
