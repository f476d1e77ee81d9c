"""Where compiled kernels are kept: a folder that only its user may write to. What lies there is checked before use.

A library's name holds the digest of what it was compiled from and that of its content, so one that was damaged,
overwritten or put there by somebody else is recognised, and no second file can be out of step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

if sys.platform != "win32":  # where nothing is compiled
    import fcntl

PREFIX = "blocks-"
BUILD_PREFIX = "compiling-"
BUILD_PREFIXES = (BUILD_PREFIX, "tmp")  # the latter: by version 0.1.0
MAX_BUILD_AGE_S = 600  # of a compilation: no longer than it may take
MAX_UNUSED_S = 30 * 86_400
OTHERS_CAN_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_cache() -> Path | None:
    """The user's folder for compiled kernels, made if need be; None if there can be none that is only the user's.

    What lies in a folder of the user's that others could write to is not trusted: the folder is emptied of libraries,
    and closed to others.
    """
    try:
        folder = Path(platformdirs.user_cache_dir("thumbnet")) / "kernels"
        if not folder.is_absolute():  # there is no home
            return None
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return None
        if status.st_mode & 0o077:
            folder.chmod(0o700)
        if status.st_mode & OTHERS_CAN_WRITE:
            for path in folder.glob(f"{PREFIX}*"):
                path.unlink()
    except (OSError, RuntimeError):  # the latter: platformdirs finds no home
        return None
    return folder


def find_library(folder: Path, digest: str) -> Path | None:
    """The library compiled from what has this digest; None if there is none that is as it was kept."""
    for path in sorted(folder.glob(f"{PREFIX}{digest}-*.so")):
        try:
            status = path.lstat()
            is_ours = status.st_uid == os.geteuid() and not status.st_mode & OTHERS_CAN_WRITE
            if stat.S_ISREG(status.st_mode) and is_ours and path.name == _name(digest, path.read_bytes()):
                with suppress(OSError):
                    os.utime(path)  # it is in use
                return path
            path.unlink()
        except OSError:
            continue
    return None


def keep_library(library: Path, folder: Path, digest: str) -> Path:
    """Move a library into the folder, whole or not at all, and remove what is no longer needed. OSError if it fails."""
    library.chmod(0o700)
    kept = folder / _name(digest, library.read_bytes())
    _flush(library)
    library.replace(kept)
    _flush(folder)
    _tidy(folder)
    return kept


@contextmanager
def build_lock(cache: Path | None, *, waits: Callable[[], None]) -> Iterator[None]:
    """While this lasts, no other process compiles for the cache, if its file system has locks.

    `waits` is called first if another one does now.
    """
    if cache is None:
        yield
        return
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def build_folder(cache: Path | None) -> Iterator[Path]:
    """An empty folder to compile in, in the cache or, without one, among temporary files; it is removed at the end."""
    prefix = BUILD_PREFIX if cache else "thumbnet-kernels-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name(digest: str, content: bytes) -> str:
    return f"{PREFIX}{digest}-{hashlib.sha256(content).hexdigest()[:32]}.so"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tidy(folder: Path) -> None:
    """Remove the leftovers of killed compilations, and libraries that were not used for a month: of old versions."""
    now_s = time.time()
    for path in folder.iterdir():
        with suppress(OSError):
            age_s = now_s - path.lstat().st_mtime
            if path.name.startswith(BUILD_PREFIXES) and path.is_dir() and age_s > MAX_BUILD_AGE_S:
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.startswith(PREFIX) and age_s > MAX_UNUSED_S:
                path.unlink()
