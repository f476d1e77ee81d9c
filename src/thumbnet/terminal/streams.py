"""Streams for people. A terminal that was closed, a pipe without a reader or a full disk must not end a training."""

from __future__ import annotations

import sys
from io import IOBase
from typing import Protocol, runtime_checkable

from thumbnet.terminal.text import escaped


@runtime_checkable
class Stream(Protocol):
    """A text stream, such as sys.stderr."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...

    def isatty(self) -> bool: ...


class SteadyStream:
    """A stream that raises nothing: after the first failure, all that is written to `stream` is dropped.

    `stream` may be None, as sys.stderr is where its descriptor was closed before the start.
    """

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        if self._stream is None:
            return len(text)
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._stream = None
        return len(text)

    def flush(self) -> None:
        try:
            if self._stream is not None:
                self._stream.flush()
        except (OSError, ValueError):
            self._stream = None

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """The stream's descriptor, by which a bar finds out how wide the terminal is; OSError if it has none."""
        if isinstance(self._stream, IOBase | SteadyStream):
            return self._stream.fileno()
        raise OSError("the stream has no descriptor")

    @property
    def encoding(self) -> str:
        """The stream's encoding, by which a bar chooses its characters."""
        return getattr(self._stream, "encoding", None) or "ascii"


def steady_stderr() -> SteadyStream:
    """Today's sys.stderr, as a stream that raises nothing."""
    return SteadyStream(sys.stderr)


def tell(text: str) -> None:
    """Write lines for people to stderr, foreign text escaped; a broken stderr is ignored."""
    stream = steady_stderr()
    stream.write(escaped(text, keep="\n") + "\n")
    stream.flush()
