"""Jobs in processes of this machine, by joblib's loky: one process for each job at a time, so that one that is killed
takes no other with it."""

from __future__ import annotations

import os
import queue
import re
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

from thumbnet.runs.jobs.carried import carried_from_here
from thumbnet.runs.jobs.execute import Task, execute_pickled, outcome_of, pickled
from thumbnet.runs.jobs.job import Job, Outcome, Setting, Workers

LOOK_AGAIN_S = 1.0
STDERR = 2  # its descriptor, which the processes have from this one
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
EXIT_CODES = re.compile(r"\{(.*)\}")


class LocalWorkers(Workers):
    """At most `most` processes, begun as they are needed, each with so many threads; they end with this process."""

    def __init__(self, most: int, *, threads: int) -> None:
        self._most, self._threads = most, threads
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: dict[str, ProcessPoolExecutor] = {}  # by the job's name
        self._ended: queue.SimpleQueue[tuple[str, Future[bytes]]] = queue.SimpleQueue()
        self._command, self._carried = uuid.uuid4().hex, carried_from_here()

    @property
    def is_busy(self) -> bool:
        return bool(self._busy)

    def begin(self, job: Job) -> bool:
        if len(self._busy) == self._most:
            return False
        setting = Setting(self._threads, job.folder or Path())
        task = pickled(Task(job, self._carried, self._command))
        self._busy[job.name], future = self._given(job.name, task, setting)
        future.add_done_callback(lambda done: self._ended.put((job.name, done)))
        return True

    def ended(self) -> Iterator[Outcome]:
        try:
            name, future = self._ended.get(timeout=LOOK_AGAIN_S)
        except queue.Empty:
            return
        executor = self._busy.pop(name)
        try:
            outcome = outcome_of(name, future.result())
        except BrokenProcessPool as error:
            executor.shutdown(kill_workers=True)
            hint = "the system may have ended it for want of memory"
            outcome = Outcome(name, error=_death(error), hint=hint, has_died=True)
        else:
            self._idle.append(executor)
        yield outcome

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for executor in self._busy.values():
            executor.shutdown(kill_workers=True)
        for executor in self._idle:
            executor.shutdown(kill_workers=error is not None)

    def _given(self, name: str, task: bytes, setting: Setting) -> tuple[ProcessPoolExecutor, Future[bytes]]:
        """Give the task to a process that has nothing to do, or to a new one."""
        while self._idle:
            executor = self._idle.pop()
            try:
                return executor, executor.submit(do, name, task, setting)
            except BrokenProcessPool:  # its process ended while it had nothing to do
                executor.shutdown(kill_workers=True)
        executor = self._new()
        return executor, executor.submit(do, name, task, setting)

    def _new(self) -> ProcessPoolExecutor:
        limits = dict.fromkeys(THREAD_LIMITS, str(self._threads))
        return ProcessPoolExecutor(max_workers=1, initializer=begin_process, initargs=(os.getpid(),), env=limits)


def begin_process(parent: int) -> None:
    """In a new process: leave Ctrl-C to the `parent`, and end when that has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_AGAIN_S)
    os._exit(1)


def do(name: str, task: bytes, setting: Setting) -> bytes:
    """Do a pickled task in this process; the outcome, pickled."""
    return execute_pickled(name, task, setting, _put)


def _put(line: str) -> None:
    with suppress(OSError):  # nobody reads it any more
        os.write(STDERR, line.encode("utf-8", "backslashreplace"))


def _death(error: BrokenProcessPool) -> str:
    """What the parent knows of a process that ended before its job."""
    codes = EXIT_CODES.search(str(error))
    return "its process ended" + (f" ({codes[1]})" if codes else "")
