"""Files that are whole or not there: written beside their place, then moved into it. Imports nothing of ours."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path

TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(\.tmp)?")  # without .tmp: as earlier versions named them
# Not inherited by processes; on Windows, bytes as they are.
SYSTEMS_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def write_atomically(path: Path, content: bytes | str, *, waits: bool = True) -> None:
    """Write `content` (text as UTF-8) to `path`: a reader, or a crash half-way, never sees a part of it.

    It `waits` until the disk has it, which takes milliseconds; else, where the power fails within the next seconds, the
    file may be as before, or empty: for what another file holds, too.

    A link is followed and an existing file keeps its mode (and its owner, where the system allows it). What is no
    regular file, as a pipe or a device, is written to, not replaced.

    Raises:
        OSError: it cannot be written, is a folder, or is a file that may not be written; the file then is as it was.
    """
    payload = content.encode() if isinstance(content, str) else content
    try:
        before = path.stat()
    except FileNotFoundError:
        before = None
    if before is not None and not stat.S_ISREG(before.st_mode):
        with path.open("wb", buffering=0) as file:
            _write_all(file.fileno(), payload)
        return
    target = Path(os.path.realpath(path))
    if before is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SYSTEMS_FLAGS, 0o666)  # less the umask
    try:
        try:
            _write_all(descriptor, payload)
            if before is not None and sys.platform != "win32":  # which has neither
                with suppress(PermissionError):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            if waits:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, payload: bytes) -> None:
    rest = memoryview(payload)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
