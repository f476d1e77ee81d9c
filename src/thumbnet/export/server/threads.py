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


class DaemonThreads:
    """At most `most` threads, each as long as there is something to do.

    The process ends without them: it would wait for those of a ThreadPoolExecutor, however long a picture takes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._num_running = 0
        self._jobs: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()

    async def run(self, job: Callable[[], T]) -> T:
        """The job's result; it is not begun any more once nobody waits for it."""
        future: Future[T] = Future()
        with self._lock:
            self._jobs.append(partial(_do, future, job))
            is_more_wanted = self._num_running < self._most
            self._num_running += is_more_wanted
        if is_more_wanted:
            threading.Thread(target=self._work, name="picture", daemon=True).start()
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._num_running -= 1
                    return
                job = self._jobs.popleft()
            job()


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
