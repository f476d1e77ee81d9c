"""The launcher's store, where the processes of one training find each other and say how they go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from thumbnet.errors import RankLostError, TrainingError
from thumbnet.specs.launch import Launch

WORD_LIMIT_S = 6 * 3600.0  # that a process waits for the first one, which reads, plans or scores meanwhile
JOIN_LIMIT = timedelta(minutes=5)
LONGEST_SLEEP_S = 0.2


def open_store(launch: Launch) -> Store:
    is_master = launch.is_first and not launch.is_store_kept
    with lost_where_it_fails():
        return dist.TCPStore(  # type: ignore[attr-defined]  # not exported in its stubs
            launch.address, launch.port, launch.size, is_master=is_master, timeout=JOIN_LIMIT, wait_for_workers=False
        )


def wait_for(holds: Callable[[], bool]) -> None:
    begin_s, sleep_s = time.monotonic(), 0.001
    while not holds():  # in Python, so that an interruption is heard
        if time.monotonic() - begin_s > WORD_LIMIT_S:
            raise TrainingError(
                f"the first process has not said how it goes on for {WORD_LIMIT_S / 3600:g} hours",
                hint="read and cache the data beforehand in one process, then start torchrun again",
            )
        time.sleep(sleep_s)
        sleep_s = min(2 * sleep_s, LONGEST_SLEEP_S)


@contextmanager
def lost_where_it_fails() -> Iterator[None]:
    """RankLostError in the place of what torch.distributed raises where another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(
            f"another process of this training has ended, or cannot be reached ({str(error).splitlines()[0]:.200})",
            hint="see what it says; torchrun --max-restarts=3 begins again after the last finished epoch",
        ) from error
