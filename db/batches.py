"""Look-ups that are asked for at once, answered by one statement. Which statement is for whoever makes a `Batches`."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import Context
from typing import Generic, TypeVar

import errors

Kind = TypeVar("Kind", bound=Hashable)
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

PATIENCE_SECONDS = 0.002
"""How long others wait for a read from its beginning: it may be long for Postgres, or never end."""
SLOW_SECONDS = 0.05
"""Who has been read for longer is read alone, so that nobody waits for it, until that is quicker."""
MOST_SLOW = 1_000


_Asked = Mapping[Key, list[asyncio.Future[Value | None]]]
"""Who waits for each of the keys of one statement."""


class Batches(Generic[Kind, Key, Value]):
    """Looks up by itself what is asked for alone. Who asks while that is under way is looked up with all who do.

    So nobody waits where there is little to do, and a statement answers the more the more there is: once several were
    read together, the next one waits for the rest of its turn of the loop. What is found was read after it was asked
    for. Two who ask for the same key get the same value, which must not be changed.
    """

    def __init__(self, read: Callable[[Kind, Sequence[Key]], Awaitable[Mapping[Key, Value]]], *, most: int) -> None:
        """`read` finds the values of at most `most` different keys; those that have none are not in what it returns."""
        self._read = read
        self._most = most
        self._queues: dict[Kind, _Queue[Key, Value]] = {}
        self._running: dict[asyncio.Task[None], _Asked[Key, Value]] = {}
        self._slow: OrderedDict[Key, None] = OrderedDict()
        self._crowded = False

    async def get(self, kind: Kind, key: Key) -> Value | None:
        """The value of the key, or None; raises what `read` raises for it."""
        queue = self._queues.get(kind)
        idle = queue is None
        if queue is None:
            queue = self._queues[kind] = _Queue(asyncio.get_running_loop())
        if key in self._slow or (idle and not self._crowded):
            return await self._alone(kind, queue, key)
        waiter: asyncio.Future[Value | None] = queue.loop.create_future()
        queue.waiting.setdefault(key, []).append(waiter)
        if idle:
            # Those whose requests have come in the same turn of the loop are about to ask.
            queue.patience = queue.loop.call_soon(self._begin, kind, queue)
        elif queue.patience is None:
            queue.patience = queue.loop.call_at(queue.since + PATIENCE_SECONDS, self._begin, kind, queue)
        try:
            return await waiter
        except _TogetherError:
            # What is wrong with another's key is no fault of this one's.
            return (await self._read(kind, [key])).get(key)
        except asyncio.CancelledError:
            self._stop_what_nobody_waits_for()
            raise

    async def aclose(self) -> None:
        """Stop what is still read, for which nobody waits any more."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _alone(self, kind: Kind, queue: "_Queue[Key, Value]", key: Key) -> Value | None:
        began = queue.since = queue.loop.time()
        queue.reading += 1
        try:
            return (await self._read(kind, [key])).get(key)
        finally:
            self._note_time([key], queue.loop.time() - began)
            self._end(kind, queue)

    def _begin(self, kind: Kind, queue: "_Queue[Key, Value]") -> None:
        """Read for those who wait."""
        if queue.patience is not None:
            queue.patience.cancel()
            queue.patience = None
        queue.since = queue.loop.time()
        asked = [(key, waiters) for key, waiters in queue.waiting.items() if not _all_done(waiters)]
        queue.waiting.clear()
        self._crowded = len(asked) > 1
        for start in range(0, len(asked), self._most):
            queue.reading += 1
            batch = dict(asked[start : start + self._most])
            task = queue.loop.create_task(self._together(kind, queue, batch), context=Context())  # of no request
            self._running[task] = batch
            task.add_done_callback(self._running.pop)
        self._forget_if_idle(kind, queue)

    def _end(self, kind: Kind, queue: "_Queue[Key, Value]") -> None:
        queue.reading -= 1
        if queue.waiting:
            self._begin(kind, queue)
        self._forget_if_idle(kind, queue)

    def _forget_if_idle(self, kind: Kind, queue: "_Queue[Key, Value]") -> None:
        if not queue.reading and not queue.waiting and self._queues.get(kind) is queue:
            del self._queues[kind]

    async def _together(self, kind: Kind, queue: "_Queue[Key, Value]", asked: _Asked[Key, Value]) -> None:
        began = queue.loop.time()
        try:
            found = await self._read(kind, list(asked))
        except Exception as error:  # noqa: BLE001 - each who waits gets it
            whole = len(asked) == 1 or isinstance(error, errors.ServiceUnavailable)
            told = error if whole else _TogetherError()
            for waiter in _waiting(asked):
                waiter.set_exception(told)
        else:
            for key, waiters in asked.items():
                for waiter in waiters:
                    if not waiter.done():  # else it was cancelled
                        waiter.set_result(found.get(key))
        finally:
            for waiter in _waiting(asked):
                waiter.cancel()  # the read was stopped
            self._note_time(asked, queue.loop.time() - began)
            self._end(kind, queue)

    def _note_time(self, keys: Iterable[Key], seconds: float) -> None:
        slow = seconds > SLOW_SECONDS
        for key in keys if slow or self._slow else ():
            self._slow.pop(key, None)
            if slow:
                self._slow[key] = None
        while len(self._slow) > MOST_SLOW:
            self._slow.popitem(last=False)

    def _stop_what_nobody_waits_for(self) -> None:
        for task, asked in self._running.items():
            if all(map(_all_done, asked.values())):
                task.cancel()


class _Queue(Generic[Key, Value]):
    """Of one kind, as long as there is something to do: how many reads are under way, and who waits for the next.

    `since`: when the last of them began, by the clock of the loop.
    """

    __slots__ = ("loop", "patience", "reading", "since", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reading = 0
        self.since = 0.0
        self.waiting: dict[Key, list[asyncio.Future[Value | None]]] = {}
        self.patience: asyncio.Handle | None = None


def _all_done(waiters: Iterable[asyncio.Future[Value]]) -> bool:
    return all(map(asyncio.Future.done, waiters))


def _waiting(asked: _Asked[Key, Value]) -> list[asyncio.Future[Value | None]]:
    return [waiter for waiters in asked.values() for waiter in waiters if not waiter.done()]


class _TogetherError(Exception):
    """A statement for several keys has failed."""
