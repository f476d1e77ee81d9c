"""An amount of memory that requests share: who finds too little left waits, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """`total` bytes, reserved in parts; for one event loop."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.left = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reserved(self, amount: int) -> AsyncIterator[None]:
        """Wait until `amount` is left, and hold it; more than the total is taken for the total."""
        amount = min(amount, self.total)
        if self._waiting or amount > self.left:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((amount, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # it was given, and nobody takes it
                    self._give_back(amount)
                raise
        else:
            self.left -= amount
        try:
            yield
        finally:
            self._give_back(amount)

    def _give_back(self, amount: int) -> None:
        self.left += amount
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif wanted <= self.left:
                self._waiting.popleft()
                self.left -= wanted
                turn.set_result(None)
            else:
                break
