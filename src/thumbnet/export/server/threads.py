"""Threads for pictures that do not keep the process from ending."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

T = TypeVar("T")
IDLE_S = 10.0  # how long a thread waits for more to do: one begun for each picture would cost a fifth of the time


class DaemonThreads:
    """At most `most` threads, begun when they are wanted and ended when there is nothing to do for a while.

    The process ends without them: it would wait for those of a ThreadPoolExecutor, however long a picture takes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._num_threads = 0
        self._num_idle = 0
        self._jobs: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result; it is not begun any more once nobody waits for it."""
        future: Future[T] = Future()
        with self._changed:
            self._jobs.append(partial(_do, future, job))
            is_more_wanted = self._num_idle < len(self._jobs) and self._num_threads < self._most
            self._num_threads += is_more_wanted
            self._changed.notify()
        if is_more_wanted:
            threading.Thread(target=self._work, name="picture", daemon=True).start()
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._num_idle += 1
                self._changed.wait_for(lambda: self._jobs, IDLE_S)
                self._num_idle -= 1
                if not self._jobs:
                    self._num_threads -= 1
                    return
                job = self._jobs.popleft()
            job()
            del job  # and the picture with it


def _do(future: Future[T], job: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001  # whoever waits gets it
        future.set_exception(error)
        del future  # else the error's traceback would hold the error
    else:
        future.set_result(result)
