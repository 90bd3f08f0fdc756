"""The bodies of requests: who may send how much, when, and for how long. What is in them is not looked at."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Send

from errors import RateLimited, ServiceUnavailable
from resolvers.deadlines import Deadline, Deadlines
from resolvers.incoming import Incoming
from resolvers.patience import Patience
from resolvers.refusals import BodyTooLarge, BodyTooSlow
from resolvers.turns import Turns

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much, how many and how long: sizes in bytes, times in seconds.

    Up to `unqueued`, about as much as the server has taken in anyway, a body is read at once; up to `small` it takes a
    turn of its sender, beyond that also one of the places of the process. Who has sent no credential is one sender,
    however many they are, and sends no more than `small`.
    """

    largest: int = 25 * MB
    small: int = MB
    unqueued: int = 64 * 1024
    small_at_once: int = 8
    large_at_once: int = 1
    waiting: int = 10
    """Of one sender, for each of the two kinds."""
    quick_places: int = 4
    slow_places: int = 4
    worked_on: int = 2
    """Large bodies that are made into answers at the same time: each may take a dozen times its size."""
    wait: float = 60
    silence: float = 10
    rate: float = 200_000
    """Bytes in a second, from `silence` on: 2 Mbit/s are 250,000."""
    quick: float = 20
    linger: float = 5


class Bodies:
    """Reads bodies, and keeps them within bounds until they have been dealt with.

    Memory: at most `quick_places + slow_places` large bodies, of which `worked_on` are parsed, and per sender
    `small_at_once` small ones; those who wait hold what the server has taken in of them, and no more. Who keeps whom
    waiting: a sender keeps only itself waiting for a turn. Of the places, a body that comes slowly is out of the way
    within `quick + silence` when another waits: on one of the slow places, or given up when those are taken. So with
    `n` other senders ahead, a place is there after `n / quick_places` times that and `n / worked_on` times the time for
    one answer. Who has waited for `wait` seconds, be it for a place or to be worked on, is told when to come again.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._small = Turns(self._bounds.small_at_once)
        self._large = Turns(self._bounds.large_at_once)
        self._places = _Places(self._bounds)
        self._work = asyncio.Semaphore(self._bounds.worked_on)
        self._deadlines = Deadlines()

    async def small(self, request: Incoming, patience: Patience) -> bytearray | None:
        """The whole of a body that needs no turn; None, and nothing read, where its size is not told, or larger.

        Raises `ClientDisconnect`, and `BodyTooLarge` where it is not as long as was told; `patience` becomes
        `BodyTooSlow`, and is without end where nothing is read.
        """
        size, most = _announced(request), self._bounds.unqueued
        if size is None or size > min(most, self._bounds.small, self._bounds.largest):
            patience.without_end()
            return None
        patience.for_body(self._bounds.silence, self._too_slow)
        body = bytearray()
        if not await self._receive(request.receive, body, patience, until=most) or len(body) > most:
            raise _too_large(most, nobody=False)
        return body

    @asynccontextmanager
    async def received(self, request: Incoming, sender: Hashable | None) -> AsyncIterator[bytearray]:
        """The whole body, which lasts until the block ends; clear it as soon as it is not needed any more.

        Raises `BodyTooLarge`, `BodyTooSlow`, `RateLimited` and `ServiceUnavailable`, and `ClientDisconnect`.
        """
        bounds, body = self._bounds, bytearray()
        limit = bounds.small if sender is None else bounds.largest
        too_large = _too_large(limit, nobody=sender is None)
        size, first = _announced(request), min(bounds.unqueued, limit)
        if size is not None and size > limit:
            raise too_large
        async with AsyncExitStack() as held:
            # One of unknown size may turn out to be any.
            whole = size is None and await self._receive_in_time(request, body, until=first)
            place = None if whole else await self._admit(held, sender, limit if size is None else size)
            whole = whole or await self._receive_in_time(request, body, until=limit, place=place)
            if not whole or len(body) > limit:
                raise too_large
            if place is not None:
                await self._turn_to_work(held)
            yield body

    async def _turn_to_work(self, held: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(self._bounds.wait):
                await held.enter_async_context(self._work)
        except TimeoutError:
            raise _too_many() from None

    async def _receive_in_time(
        self, request: Incoming, body: bytearray, *, until: int, place: "_Place | None" = None
    ) -> bool:
        try:
            with self._deadlines.within(self._bounds.silence) as deadline:
                return await self._receive(request.receive, body, deadline, until=until, place=place)
        except TimeoutError:
            raise self._too_slow() from None

    async def _receive(
        self, receive: Receive, body: bytearray, deadline: Deadline, *, until: int, place: "_Place | None" = None
    ) -> bool:
        """Add to the body what comes, and say whether that was all; with more than `until` bytes it may not be.

        A sender may be silent for a while, and may fall behind the rate by as much, but not more: `deadline` is moved.
        """
        bounds, now = self._bounds, deadline.now
        began, before = now(), len(body)
        while len(body) <= until:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return True
            due = began + (len(body) - before) / bounds.rate
            deadline.at = bounds.silence + min(now(), due)
            if place is not None and now() - began > bounds.quick:
                await place.give_way()
        return False

    def _too_slow(self) -> BodyTooSlow:
        bounds = self._bounds
        return BodyTooSlow(
            f"The body came too slowly: nothing for {bounds.silence:g} seconds, or less than "
            f"{bounds.rate / 1000:g} kB a second. Send it over a quicker line, or send less at once."
        )

    async def answer_early(self, response: Response, request: Incoming, send: Send) -> None:
        """Send the answer. What still comes of a body that was not read is taken in for a moment, and not looked at.

        To close a connection on which something comes resets it, and the answer may be lost (RFC 9112, section 9.6).
        """

        async def hold_the_end(message: Message) -> None:
            await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

        await response(request.scope, request.receive, hold_the_end)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._bounds.linger):
                while (await request.receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b""})

    async def _admit(self, held: AsyncExitStack, sender: Hashable | None, size: int) -> "_Place | None":
        """Wait for what a body of this size needs; a place only for a large one."""
        bounds = self._bounds
        if size <= bounds.unqueued:
            return None
        turns = self._small if size <= bounds.small else self._large
        if turns.waiting(sender) >= bounds.waiting:
            raise _too_many_of_one()
        refusal: RateLimited | ServiceUnavailable = _too_many_of_one()
        try:
            async with asyncio.timeout(bounds.wait):
                await held.enter_async_context(turns.of(sender))
                refusal = _too_many()
                return await held.enter_async_context(self._places.one()) if size > bounds.small else None
        except TimeoutError:
            raise refusal from None


class _Places:
    """The places for large bodies. Who sends quickly does not wait for those who send slowly."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.quick = asyncio.Semaphore(bounds.quick_places)
        self.slow = asyncio.Semaphore(bounds.slow_places)
        self.waiting = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator["_Place"]:
        self.waiting += 1
        try:
            await self.quick.acquire()
        finally:
            self.waiting -= 1
        place = _Place(self)
        try:
            yield place
        finally:
            place.held.release()


class _Place:
    def __init__(self, places: _Places) -> None:
        self._places = places
        self.held = places.quick

    async def give_way(self) -> None:
        """Let a quicker one have the place, if one waits."""
        places = self._places
        if self.held is places.slow or not places.waiting:
            return
        if places.slow.locked():
            raise _too_many()
        await places.slow.acquire()
        places.quick.release()
        self.held = places.slow


def _announced(request: Incoming) -> int | None:
    """The size that the request says its body has; None where it does not."""
    announced = request.headers.get("content-length")
    # No number of a body is that long; to read one takes time that grows with its square.
    return int(announced[:20]) if announced.isdecimal() else None


def _too_large(limit: int, *, nobody: bool) -> BodyTooLarge:
    size = f"{limit / MB:g} MB" if limit >= MB else f"{limit} bytes"
    if nobody:
        return BodyTooLarge(f"The body is larger than {size}, the most without a credential. Sign in, or send less.")
    return BodyTooLarge(
        f"The body is larger than {size}. Send less at once, such as a file in parts; whoever runs the service may "
        "raise MAX_BODY_MB."
    )


def _too_many_of_one() -> RateLimited:
    return RateLimited(
        "Too many large requests of yours are under way. Send them one after the other; this one was not read.", 10
    )


def _too_many() -> ServiceUnavailable:
    return ServiceUnavailable(
        "Too many large requests are under way. Send it again later, or less at once; nothing of it was done.",
        retryAfter=30,
    )
