"""A folder that one process writes to: the lock is the system's, so it ends with the process however that ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thumbnet.errors import RunError
from thumbnet.runs.files.names import LOCK

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

SIGNATURE = "thumbnet"
LOCKED_BYTE = 1 << 30  # on Windows, which locks bytes against readers, too: one far behind the text
FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def lock_folder(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Hold the folder's lock; RunError where another process, or another part of this one, does and this one does not
    wait for it."""
    path = folder / LOCK
    descriptor = _take(path, waits=waits)
    try:
        _sign(path, descriptor)
        yield
    finally:
        if sys.platform == "win32":  # which removes no open file; a process that has opened it meanwhile keeps it
            os.close(descriptor)
            with suppress(PermissionError):
                path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)  # while it is held: whoever has opened it meanwhile sees that it is gone
            os.close(descriptor)


def was_locked(folder: Path) -> bool:
    """Whether a process of ours was at work in the folder and was killed."""
    try:
        return (folder / LOCK).read_text(encoding="utf-8").startswith(SIGNATURE)
    except (OSError, UnicodeDecodeError):
        return False


def is_locked(folder: Path) -> bool:
    """Whether a process is writing to the folder now; False on Windows, where looking would be in its way."""
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(path: Path, *, waits: bool) -> int:
    while True:
        try:
            descriptor = os.open(path, FLAGS, 0o666)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            _lock(descriptor, waits=waits)
        except OSError as error:
            os.close(descriptor)
            raise _refused(path, error) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # it was that of a process that has ended since


def _sign(path: Path, descriptor: int) -> None:
    """Say in the file whose it is; RunError where there is no room for that."""
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{SIGNATURE} {os.getpid()}\n".encode())
    except OSError as error:
        raise _unwritable(path, error) from error


def _lock(descriptor: int, *, waits: bool) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_LOCK if waits else msvcrt.LK_NBLCK, 1)
                break
            except OSError as error:
                if not waits or error.errno != errno.EDEADLK:  # which says that it has waited for ten seconds
                    raise
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"{path.parent} cannot be written: {error}", hint="check its permissions and the disk's room")


def _refused(path: Path, error: OSError) -> RunError:
    if error.errno not in (errno.EAGAIN, errno.EACCES):
        return RunError(
            f"{path.parent} cannot be locked: {error}", hint="train in a folder of a file system that has locks"
        )
    holder: list[str] = []
    with suppress(OSError, UnicodeDecodeError):
        holder = path.read_text(encoding="utf-8").split()
    process = f"process {holder[1]}" if len(holder) == 2 else "another process"
    return RunError(f"{path.parent} is being written by {process}", hint="wait until it ends, or stop it")
