"""A pool of connections, whatever they are. What is done on them is not known here."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, TypeVar

Connection = TypeVar("Connection")

IDLE_SECONDS = 300.0
"""After which a connection that nobody needs is closed."""
LIFETIME_SECONDS = 1_800.0
"""After which a connection is made anew, with what has gathered on it, and to the server that the address leads to."""
_SWEEP_SECONDS = 60.0
_CLOSE_SECONDS = 5.0


class Pool(Generic[Connection]):
    """At most `size` connections, each made when it is first needed. The one given back last is taken first.

    Who finds none waits for `wait` seconds at most, in turn, and gets `TimeoutError`. asyncpg's own pool resets what is
    given back by a task of its own and takes a timer for each that is taken: half of what a short read costs.
    """

    def __init__(
        self,
        size: int,
        *,
        wait: float,
        connect: Callable[[], Awaitable[Connection]],
        disconnect: Callable[[Connection], Coroutine[Any, Any, None]],
    ) -> None:
        """`disconnect` never fails, and hangs up when it is cancelled: it has taken too long."""
        self._size = size
        self._wait = wait
        self._connect = connect
        self._disconnect = disconnect
        self._count = 0
        self._idle: deque[tuple[Connection, float]] = deque()
        self._until: dict[Connection, float] = {}
        # A waiter gets a connection, or None for the right to make one.
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._leaving: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def taken(self) -> int:
        """How many somebody has, or waits to be connected."""
        return self._count - len(self._idle)

    async def take(self) -> Connection:
        """A connection that nobody else has until it is given back or dropped."""
        if self._idle:
            return self._idle.pop()[0]
        if self._closed:
            raise ConnectionError("The pool is closed.")
        if self._count < self._size:
            self._count += 1
            return await self._made()
        async with asyncio.timeout(self._wait):
            found = await self._turn()
        return await self._made() if found is None else found

    def give(self, connection: Connection) -> None:
        """Let others have it, who find it as it is now."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._closed or self._until[connection] < now:
            self.drop(connection)
        elif not self._hand_on(connection):
            self._idle.append((connection, now))
            if self._sweeping is None:
                self._sweeping = loop.call_later(_SWEEP_SECONDS, self._sweep)

    def give_when(self, connection: Connection, ready: Coroutine[Any, Any, bool]) -> None:
        """`give` it once it is ready, or `drop` it where it turns out not to be. Nobody waits for that."""

        async def give_or_drop() -> None:
            give_back = self.drop
            try:
                if await ready:
                    give_back = self.give
            finally:
                give_back(connection)

        self._track(give_or_drop())

    def drop(self, connection: Connection) -> None:
        """Close one that was taken, and let another be made in its place."""
        self._leave(connection)
        if not self._hand_on(None):
            self._count -= 1

    def drop_idle(self) -> None:
        """Close all that nobody has: what has cut one of them has cut the others."""
        while self._idle:
            self._count -= 1
            self._leave(self._idle.popleft()[0])

    async def close(self) -> None:
        """Close what nobody has, and later what is given back. Waits for a few seconds, then closes by force."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(ConnectionError("The pool was closed."))
        self._waiters.clear()
        self.drop_idle()
        if self._leaving:
            _, late = await asyncio.wait(self._leaving, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _made(self) -> Connection:
        try:
            connection = await self._connect()
            # At different times, or all would be made anew together.
            age = LIFETIME_SECONDS * random.uniform(1, 1.2)  # noqa: S311 - no secret
            self._until[connection] = asyncio.get_running_loop().time() + age
            return connection
        except BaseException:
            if not self._hand_on(None):
                self._count -= 1
            raise

    async def _turn(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # Its turn came in the same moment; somebody else has to have it.
                found = waiter.result()
                if found is not None:
                    self.give(found)
                elif not self._hand_on(None):
                    self._count -= 1
            raise

    def _hand_on(self, connection: Connection | None) -> bool:
        """Give it to who has waited longest; False where nobody waits."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _leave(self, connection: Connection) -> None:
        self._until.pop(connection, None)
        self._track(self._disconnect(connection))

    def _track(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._idle and self._idle[0][1] < loop.time() - IDLE_SECONDS:
            self._count -= 1
            self._leave(self._idle.popleft()[0])
        self._sweeping = loop.call_later(_SWEEP_SECONDS, self._sweep) if self._idle else None
