"""A reader of thumbnet's as a function of bytes, and what all of them need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from thumbnet.errors import ThumbnetError
from thumbnet.export.server.refusals import RefusedError

EXPECTED = (ThumbnetError, RefusedError)  # the latter: the server's answer


@dataclass(frozen=True)
class Reader:
    """`seeds` are whole files; `read` takes a file's content and does what thumbnet does with it."""

    seeds: Sequence[bytes]
    read: Callable[[bytes], object]

    def try_on(self, content: bytes) -> bool:
        """Whether it is read; False where it is refused as it should be. Any other error is raised."""
        try:
            self.read(content)
        except EXPECTED:
            return False
        return True


def put(path: Path, content: bytes) -> Path:
    """Write a file; its path."""
    path.write_bytes(content)
    return path


def read_with(path: Path, content: bytes, read: Callable[[], object], *, removed: bool = False) -> None:
    """Read with another content of a file, which then has its own again, or is `removed`."""
    own = b"" if removed else path.read_bytes()
    path.write_bytes(content)
    try:
        read()
    finally:
        if removed:
            path.unlink()
        else:
            path.write_bytes(own)
