"""The launcher's store, where the processes of one training find each other and say how they go on."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store

from thumbnet.errors import RankLostError, ThumbnetError
from thumbnet.specs.launch import Launch
from thumbnet.training.rank_failures import Failures, tell

CONNECT_LIMIT = timedelta(minutes=5)
LAST_WORD_LIMIT = timedelta(seconds=10)  # that a process which fails takes to reach the store
MEET_LIMIT_S = 15 * 60.0  # that a process waits for the others to begin
PART_LIMIT_S = 60.0
LONGEST_SLEEP_S = 0.2


_opened: dict[tuple[str, int], Store] = {}  # by address and port, for all trainings of this process


def open_store(launch: Launch, number: int, *, limit: timedelta = CONNECT_LIMIT) -> Store:
    """What the processes say of their training of this number, in the store that the launcher keeps; where it keeps
    none, in the first process's, as long as that lives."""
    place = launch.address, launch.port
    if place not in _opened:
        _opened[place] = _open(launch, limit)
    return PrefixStore(f"thumbnet {launch.run_id} {number}", _opened[place])


def _open(launch: Launch, limit: timedelta) -> Store:
    is_master = launch.is_first and not launch.is_store_kept
    with lost_where_it_fails():
        return dist.TCPStore(  # type: ignore[attr-defined]  # not exported in its stubs
            launch.address, launch.port, launch.size, is_master=is_master, timeout=limit, wait_for_workers=False
        )


def meet(store: Store, rank: int, size: int) -> str:
    """A word that the first process makes up, once all `size` processes are there; the same in each.

    What processes that were ended have left in the store is never taken for an answer: each process asks with a number
    drawn anew, and is answered with it. A count of restarts would not do, since of several launchers only the one whose
    process failed counts.

    Raises:
        RankLostError: one of them has failed, or not all came within MEET_LIMIT_S.
    """
    own = secrets.token_hex(8)
    with lost_where_it_fails():
        failures = Failures(store, rank)
        if rank == 0:
            answered: dict[int, bytes] = {}

            def all_were_answered() -> bool:
                failures.check()
                for other in range(1, size):
                    asked = store.get(f"asks {other}") if store.check([f"asks {other}"]) else None
                    if asked is not None and answered.get(other) != asked:  # the first may be of one that was ended
                        store.set(f"answer to {other}", f"{asked.decode()} {own}")
                        answered[other] = asked
                return all(store.check([f"{own} reached {other}"]) for other in range(1, size))

            wait_for(all_were_answered, limit_s=MEET_LIMIT_S, late=_nobody_came())
            return own
        store.set(f"asks {rank}", own)
        key = f"answer to {rank}"

        def was_answered() -> bool:
            failures.check()
            return store.check([key]) and store.get(key).decode().startswith(own)

        wait_for(was_answered, limit_s=MEET_LIMIT_S, late=_nobody_came())
        word = store.get(key).decode().split()[1]
        store.set(f"{word} reached {rank}", "")
        return word


def tell_of_failure(launch: Launch) -> None:
    """Have the others wait no longer for this process, which fails before its first training has begun.

    Raises:
        RankLostError: the store cannot be reached.
    """
    with lost_where_it_fails():
        tell(open_store(launch, 1, limit=LAST_WORD_LIMIT), launch.rank)


def _nobody_came() -> RankLostError:
    return RankLostError(
        f"another process of this training has not begun for {MEET_LIMIT_S / 60:g} minutes",
        hint="begin the training in each of the processes that the launcher started",
    )


def part(store: Store, launch: Launch) -> None:
    """Called by each at the end: the process that has the store waits until the others need it no longer.

    Raises:
        RankLostError: one of them did not get there within PART_LIMIT_S.
    """
    with lost_where_it_fails():
        if not launch.is_first:
            store.set(f"parted {launch.rank}", "")
        elif not launch.is_store_kept:
            keys = [f"parted {other}" for other in range(1, launch.size)]
            late = RankLostError(
                f"the training is done, but another process has not heard so within {PART_LIMIT_S:g} seconds",
                hint="see what it says",
            )
            wait_for(lambda: all(store.check([key]) for key in keys), limit_s=PART_LIMIT_S, late=late)


def wait_for(holds: Callable[[], bool], *, limit_s: float, late: ThumbnetError) -> None:
    """Return once it holds; raise `late` where it does not within the limit."""
    begin_s, sleep_s = time.monotonic(), 0.001
    while not holds():  # in Python, so that an interruption is heard
        if time.monotonic() - begin_s > limit_s:
            raise late
        time.sleep(sleep_s)
        sleep_s = min(2 * sleep_s, LONGEST_SLEEP_S)


@contextmanager
def lost_where_it_fails() -> Iterator[None]:
    """RankLostError in the place of what torch.distributed raises where another process is gone; not of what is wrong
    with this one, whose memory is full, or whose GPU fails."""
    try:
        yield
    except RuntimeError as error:
        if not _is_of_communication(error):
            raise
        raise RankLostError(
            f"another process of this training has ended, or cannot be reached ({str(error).splitlines()[0]:.200})",
            hint="see what it says; torchrun --max-restarts=3 goes on from the last checkpoint",
        ) from error


def _is_of_communication(error: RuntimeError) -> bool:
    """gloo's errors are plain RuntimeErrors; others have classes of their own, except the allocator's."""
    return isinstance(error, dist.DistError) or (type(error) is RuntimeError and "Allocator" not in str(error))
