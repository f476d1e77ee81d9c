"""Processes of this machine for jobs, by joblib's loky. Some may be begun before there are jobs, so that they import
what these need while this process reads the data. Without PyTorch."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from joblib.externals.loky import ProcessPoolExecutor

LOOK_AGAIN_S = 1.0
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
NEEDED = ("thumbnet.runs.jobs.execute", "thumbnet.runs.member")  # by jobs that train, and with them PyTorch

_begun: list[tuple[int, ProcessPoolExecutor]] = []  # for jobs of so many threads


@contextmanager
def begun_early(number: int, *, threads: int) -> Iterator[None]:
    """While this lasts, so many processes are there, or about to be, for jobs of so many threads each; those that no
    job took end with it."""
    for _ in range(number):
        executor = new_process(threads)
        executor.submit(_import_needed)
        _begun.append((threads, executor))
    try:
        yield
    finally:
        while _begun:
            _begun.pop()[1].shutdown(kill_workers=True)


def process_for(threads: int) -> ProcessPoolExecutor:
    """One that has no job, for jobs of so many threads: begun early, or now."""
    for place, (found, executor) in enumerate(_begun):
        if found == threads:
            del _begun[place]
            return executor
    return new_process(threads)


def new_process(threads: int) -> ProcessPoolExecutor:
    """One that begins with its first job."""
    limits = dict.fromkeys(THREAD_LIMITS, str(threads))
    return ProcessPoolExecutor(max_workers=1, initializer=begin_process, initargs=(os.getpid(),), env=limits)


def begin_process(parent: int) -> None:
    """In a new process: leave Ctrl-C to the `parent`, and end when that has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_AGAIN_S)
    os._exit(1)


def _import_needed() -> None:
    for name in NEEDED:
        import_module(name)
