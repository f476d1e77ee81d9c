"""How long a reader may take for one file, and in how much memory: more of either is an error."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

TIMEOUT_S = 10
MEMORY_BYTES = 2**30
STATM = Path("/proc/self/statm")  # of Linux: its first number is that of the process's pages


class LateError(BaseException):
    """A file takes longer than TIMEOUT_S; no reader may catch it."""


def late(number: int, frame: FrameType | None) -> None:
    """What is called when the time is over."""
    raise LateError(f"not done after {TIMEOUT_S} s")


def memory_limit() -> int:
    """The bytes of addresses that the process has now, and those that a reader may take beside them."""
    return int(STATM.read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES


@contextmanager
def bounded() -> Iterator[None]:
    """What takes longer here ends with a LateError, and what takes more memory, on Linux, with a MemoryError.

    For the main thread, to which alone signals go. The whole process's addresses are limited for as long.
    """
    handler, limits = signal.signal(signal.SIGALRM, late), resource.getrlimit(resource.RLIMIT_AS)
    timer = signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
    try:
        if STATM.exists():
            limit = memory_limit()
            soft = limit if limits[0] == resource.RLIM_INFINITY else min(limit, limits[0])
            resource.setrlimit(resource.RLIMIT_AS, (soft, limits[1]))
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)
