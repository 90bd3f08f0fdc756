"""Turns: how much one account may have under way at once. What it does in its turn is not known here."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Queue:
    free: asyncio.Semaphore
    users: int = 0


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

    @asynccontextmanager
    async def of(self, account: Hashable) -> AsyncIterator[None]:
        """One turn of this account."""
        queue = self._queues.setdefault(account, _Queue(asyncio.Semaphore(self._at_once)))
        queue.users += 1
        try:
            async with queue.free:
                yield
        finally:
            queue.users -= 1
            if queue.users == 0:
                del self._queues[account]
