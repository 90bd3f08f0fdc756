"""Look-ups that are asked for at once, answered by one statement. Which statement is for whoever makes a `Batches`."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import Context
from typing import Generic, TypeVar

import errors

Kind = TypeVar("Kind", bound=Hashable)
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

PATIENCE_SECONDS = 0.002
"""How long a look-up waits for the one under way, which may be long for Postgres, or never end."""


class Batches(Generic[Kind, Key, Value]):
    """Looks up by itself what is asked for alone. Who asks while that is under way is looked up with all who do.

    So nobody waits where there is little to do, and a statement answers the more the more there is. What is found was
    read after it was asked for. Two who ask for the same key get the same value, which must not be changed.
    """

    def __init__(self, read: Callable[[Kind, Sequence[Key]], Awaitable[Mapping[Key, Value]]], *, most: int) -> None:
        """`read` finds the values of at most `most` different keys; those that have none are not in what it returns."""
        self._read = read
        self._most = most
        self._queues: dict[Kind, _Queue[Key, Value]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, kind: Kind, key: Key) -> Value | None:
        """The value of the key, or None; raises what `read` raises for it."""
        queue = self._queues.get(kind)
        if queue is None:
            return await self._alone(kind, key)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Value | None] = loop.create_future()
        queue.waiting.setdefault(key, []).append(waiter)
        if queue.patience is None:
            queue.patience = loop.call_later(PATIENCE_SECONDS, self._begin, kind, queue)
        try:
            return await waiter
        except _TogetherError:
            # What is wrong with another's key is no fault of this one's.
            return (await self._read(kind, [key])).get(key)

    async def _alone(self, kind: Kind, key: Key) -> Value | None:
        queue: _Queue[Key, Value] = _Queue()
        self._queues[kind] = queue
        try:
            return (await self._read(kind, [key])).get(key)
        finally:
            self._end(kind, queue)

    def _begin(self, kind: Kind, queue: "_Queue[Key, Value]") -> None:
        """Read for those who wait."""
        if queue.patience is not None:
            queue.patience.cancel()
            queue.patience = None
        asked = [(key, waiters) for key, waiters in queue.waiting.items() if not all(one.done() for one in waiters)]
        queue.waiting.clear()
        for start in range(0, len(asked), self._most):
            queue.reading += 1
            work = self._together(kind, queue, dict(asked[start : start + self._most]))
            task = asyncio.get_running_loop().create_task(work, context=Context())  # of no request
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _end(self, kind: Kind, queue: "_Queue[Key, Value]") -> None:
        queue.reading -= 1
        if queue.waiting:
            self._begin(kind, queue)
        if not queue.reading:  # nobody has waited, or nobody does any more
            del self._queues[kind]

    async def _together(
        self, kind: Kind, queue: "_Queue[Key, Value]", asked: Mapping[Key, "list[asyncio.Future[Value | None]]"]
    ) -> None:
        error: Exception | None = None
        found: Mapping[Key, Value] = {}
        try:
            found = await self._read(kind, list(asked))
        except Exception as raised:  # noqa: BLE001 - each who waits gets it
            whole = len(asked) == 1 or isinstance(raised, errors.ServiceUnavailable)
            error = raised if whole else _TogetherError()
        finally:
            self._end(kind, queue)
        for key, waiters in asked.items():
            for waiter in waiters:
                if waiter.done():  # it was cancelled
                    continue
                if error is None:
                    waiter.set_result(found.get(key))
                else:
                    waiter.set_exception(error)


class _Queue(Generic[Key, Value]):
    """Of one kind, as long as there is something to do: how many reads are under way, and who waits for the next."""

    __slots__ = ("patience", "reading", "waiting")

    def __init__(self) -> None:
        self.reading = 1
        self.waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self.patience: asyncio.TimerHandle | None = None


class _TogetherError(Exception):
    """A statement for several keys has failed."""
