"""How long an answer is worked on: until its time is over, or its caller has left. Not how a body is waited for."""

import asyncio
import math
from collections.abc import Callable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from errors import ServiceUnavailable
from resolvers.deadlines import Deadline, Deadlines

_log = structlog.get_logger(__name__)

UNWATCHED_SECONDS = 0.05
"""Most answers are there by then, and need nobody to watch whether the caller leaves: that takes a task."""


class Patience(Deadline):
    """Cancels the block when it takes too long for what it is at, or when the caller has left.

    The first becomes the error of what it is at, the second `ClientDisconnect`. `watch` is there once somebody asks for
    what is left of the body, to learn whether the caller leaves; `unwatch` then.
    """

    def __init__(self, deadlines: Deadlines, seconds: float, receive: Receive) -> None:
        """`seconds` are for the sign-in, with which it begins, and again for the execution."""
        super().__init__(deadlines, seconds)
        self.watch: asyncio.Task[None] | None = None
        self._receive = receive
        self._watched_from = math.inf
        self._left = False
        self._operation: str | None = None
        self._too_slow: Callable[[], Exception] | None = None

    def for_sign_in(self) -> None:
        """It is at finding out who asks, from now on; then it becomes `ServiceUnavailable`."""
        self.at, self._too_slow = self.now() + self._seconds, None

    def for_body(self, seconds: float, too_slow: Callable[[], Exception]) -> None:
        """It is at reading the body, for which it may be moved further; `too_slow` makes the error."""
        self.at, self._too_slow = self.now() + seconds, too_slow

    def without_end(self) -> None:
        """It is at what has bounds of its own."""
        self.at = math.inf

    def for_execution(self, operation: str | None = None) -> None:
        """It is at answering, until the caller leaves; then it becomes `ServiceUnavailable`. The name is for the log.

        Whether the caller leaves is told by `receive`, of which watching takes what is left of a body.
        """
        now = self.now()
        self.at, self._too_slow, self._operation = now + self._seconds, None, operation
        self._watched_from = now + UNWATCHED_SECONDS

    def too_late(self) -> Exception:
        if self._left:
            return ClientDisconnect()
        if self._too_slow is not None:
            return self._too_slow()
        _log.warning("execution.timed_out", operation=(self._operation or "")[:100], seconds=self._seconds)
        return ServiceUnavailable(f"The answer took longer than {self._seconds:g} seconds.")

    async def unwatch(self) -> None:
        """Have nobody ask any more."""
        if self.watch is not None:
            self.watch.cancel()
            await asyncio.gather(self.watch, return_exceptions=True)

    def look(self, now: float) -> None:
        super().look(now)
        if self.watch is None and now >= self._watched_from:
            self.watch = asyncio.get_running_loop().create_task(self._expire_on_disconnect())

    async def _expire_on_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self.expire()
