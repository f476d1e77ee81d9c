"""What a process says in the launcher's store that fails before it has met the others: these then wait no longer.

The store outlives processes that a launcher begins again. A word that is there already may be of one that was ended:
the process of the same rank takes it back when it begins. So what was there is believed only once it has stayed.
"""

from __future__ import annotations

import secrets
import time

from torch.distributed.distributed_c10d import Store

from thumbnet.errors import RankLostError

FAILED = "failed before it met the others"  # the key: whose word it is, and a number drawn for it
STAYS_S = 20.0  # that the processes of all machines may take to begin one after the other


def tell(store: Store, rank: int) -> None:
    """Say that the process of this rank fails."""
    store.set(FAILED, f"{rank} {secrets.token_hex(8)}")


class Failures:
    """What other processes have said, and say while the one of this rank waits for them."""

    def __init__(self, store: Store, rank: int) -> None:
        self._store, self._begin_s, self._before = store, time.monotonic(), _told(store)
        if self._before.startswith(f"{rank} "):
            store.compare_set(FAILED, self._before, "")

    def check(self) -> None:
        """RankLostError where one has failed."""
        told = _told(self._store)
        if told and (told != self._before or time.monotonic() - self._begin_s > STAYS_S):
            raise another_failed()


def another_failed() -> RankLostError:
    """The error of a process that others have left alone."""
    return RankLostError("another process of this training has failed", hint="see what it says")


def _told(store: Store) -> str:
    return store.get(FAILED).decode() if store.check([FAILED]) else ""
