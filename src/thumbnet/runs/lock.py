"""A folder that one process writes to: the lock is the system's, so it ends with the process however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thumbnet.errors import RunError
from thumbnet.runs.names import LOCK

SIGNATURE = "thumbnet"


@contextmanager
def lock_folder(folder: Path, *, waits: bool = False) -> Iterator[None]:
    """Hold the folder's lock; RunError where another process, or another part of this one, does and this one does not
    wait for it."""
    path = folder / LOCK
    descriptor = _take(path, waits=waits)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{SIGNATURE} {os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever has opened it meanwhile sees that it is no more there
        os.close(descriptor)


def was_locked(folder: Path) -> bool:
    """Whether a process of ours was at work in the folder and was killed."""
    try:
        return (folder / LOCK).read_text(encoding="utf-8").startswith(SIGNATURE)
    except (OSError, UnicodeDecodeError):
        return False


def _take(path: Path, *, waits: bool) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise RunError(f"{path.parent} cannot be written: {error}", hint="check its permissions") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except OSError as error:
            os.close(descriptor)
            raise _refused(path, error) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # it was that of a process that has ended since


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
