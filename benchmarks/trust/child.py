"""What happens in a forked process: it begins with everything imported, so that a training takes half a second."""

from __future__ import annotations

import io
import os
import random
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 120.0
MAX_MB = 1024
BUG = 70  # the exit code of what raised an exception that is not thumbnet's


@dataclass(frozen=True)
class Ended:
    """How a process ended: `code` is negative for a signal; `text` is what it wrote, `error` what it told of errors."""

    code: int
    text: str
    error: str
    seconds: float
    peak_mb: float
    is_late: bool

    @property
    def is_clear_error(self) -> bool:
        """Whether it refused as documented: exit code 2 (1: a part was done), an error of ours, no traceback."""
        return self.code in (1, 2) and "thumbnet: error: " in self.error and "Traceback" not in self.error

    @property
    def fault(self) -> str:
        """What no end may be, whatever was broken; empty where it is none of these."""
        if self.is_late:
            return f"not ended after {TIMEOUT_S:.0f} s"
        if self.peak_mb > MAX_MB:
            return f"{self.peak_mb:.0f} MB"
        if self.code == 0 or self.is_clear_error:
            return ""
        return f"exit code {self.code}: {self.error.strip()[-600:]}"


class Child:
    """A forked process that calls a function; its streams go to files in `place`."""

    def __init__(self, function: Callable[[], int | None], place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.out, self.err = place / "stdout", place / "stderr"
        self.begin = time.monotonic()
        self.process = os.fork()
        if self.process == 0:
            _be_child(function, self.out, self.err)

    def wait(self, *, kill_after_s: float | None = None, timeout_s: float = TIMEOUT_S) -> Ended:
        """How it ends; it is killed after so long, or, as one that is late, after the timeout."""
        is_over = threading.Event()
        limit = timeout_s if kill_after_s is None else kill_after_s
        timer = threading.Timer(limit, lambda: None if is_over.is_set() else os.kill(self.process, signal.SIGKILL))
        timer.daemon = True
        timer.start()
        try:
            _, status, usage = os.wait4(self.process, 0)
        except BaseException:  # this process is to end
            os.kill(self.process, signal.SIGKILL)
            raise
        is_over.set()
        timer.cancel()
        timer.join()
        code, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - self.begin
        is_late = kill_after_s is None and code == -signal.SIGKILL and seconds >= timeout_s
        texts = (path.read_text(errors="replace") for path in (self.out, self.err))
        return Ended(code, *texts, seconds, usage.ru_maxrss / 1024, is_late)

    def end(self) -> None:
        """Ask it to end, by SIGTERM."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGTERM)


def run_forked(function: Callable[[], int | None], place: Path, *, kill_after_s: float | None = None) -> Ended:
    """Call a function in a forked process, killed after so long, and wait for its end."""
    return Child(function, place).wait(kill_after_s=kill_after_s)


def _be_child(function: Callable[[], int | None], out: Path, err: Path) -> None:
    code: int | None = BUG
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for descriptor, path in ((1, out), (2, err)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, descriptor)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
        random.seed()
        code = function()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  # it is what is looked for
        traceback.print_exc()
    finally:
        os._exit(code or 0)


def command(*arguments: str | Path) -> Callable[[], int]:
    """`thumbnet` with these arguments."""

    def run() -> int:
        from thumbnet.cli import main

        return main([str(each) for each in arguments])

    return run
