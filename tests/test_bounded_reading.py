"""What the tests of broken files would see of a reader that is at fault."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from bounded_reading import try_on

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_a_foreign_error_a_long_time_and_much_memory_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards, the process has its own limits again."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from trust import bounds
    from trust.reader import Reader

    def limits() -> tuple[object, ...]:
        timer = signal.getitimer(signal.ITIMER_REAL)
        return resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGALRM), timer

    before = limits()
    with pytest.raises(ZeroDivisionError):
        try_on(Reader([], lambda content: 1 // 0), b"")
    assert try_on(Reader([], lambda content: np.empty(bounds.MEMORY_BYTES // 2, np.uint8)), b"")
    with pytest.raises(MemoryError):
        try_on(
            Reader([], lambda content: np.empty(3 * bounds.MEMORY_BYTES, np.uint8)), b""
        )  # of which freed memory may be one
    monkeypatch.setattr(bounds, "TIMEOUT_S", 0.05)
    with pytest.raises(bounds.LateError) as late:
        try_on(Reader([], lambda content: time.sleep(5)), b"slow")
    assert late.value.__notes__ == ["the file: b'slow'"]
    assert limits() == before
