"""Turns: how much one account may have under way at once. What it does in its turn is not known here."""

import asyncio
from collections.abc import Hashable
from contextlib import AbstractAsyncContextManager
from types import TracebackType


class _Queue:
    def __init__(self, at_once: int) -> None:
        self.free = asyncio.Semaphore(at_once)
        self.users = 0


class Turns:
    """Lets `at_once` of an account go on; the others wait, and hold nothing of the database meanwhile.

    What an account writes waits for its own locks (its counter, its portfolio). Without turns, a hundred requests of
    one account would wait there with every connection of the pool in their hands.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._queues: dict[Hashable, _Queue] = {}

    def waiting(self, account: Hashable) -> int:
        """How many of this account wait for their turn."""
        queue = self._queues.get(account)
        return max(queue.users - self._at_once, 0) if queue else 0

    def of(self, account: Hashable) -> AbstractAsyncContextManager[None]:
        """One turn of this account."""
        return _Turn(self, account)

    def enter(self, account: Hashable) -> _Queue:
        """Wait for a turn in this queue, or have one."""
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = _Queue(self._at_once)
        queue.users += 1
        return queue

    def leave(self, account: Hashable, queue: _Queue) -> None:
        """Neither wait nor have one any more."""
        queue.users -= 1
        if queue.users == 0:
            del self._queues[account]


class _Turn(AbstractAsyncContextManager[None]):
    """Written out: a generator takes three times as long, and each write has a turn."""

    def __init__(self, turns: Turns, account: Hashable) -> None:
        self._turns = turns
        self._account = account

    async def __aenter__(self) -> None:
        self._queue = self._turns.enter(self._account)
        try:
            await self._queue.free.acquire()
        except BaseException:
            self._turns.leave(self._account, self._queue)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.free.release()
        self._turns.leave(self._account, self._queue)
