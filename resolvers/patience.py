"""How long an answer is worked on: until its time is over, or its caller has left. Not how a body is waited for."""

import asyncio
from types import TracebackType

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from errors import ServiceUnavailable
from resolvers.deadlines import Deadline, Deadlines

_log = structlog.get_logger(__name__)

UNWATCHED_SECONDS = 0.05
"""Most answers are there by then, and need nobody to watch whether the caller leaves: that takes a task."""


class Patience(Deadline):
    """Cancels the block after `seconds`, which becomes `ServiceUnavailable`, or when the caller has left.

    That is told by `receive`, of which watching takes what is left of a body, and becomes `ClientDisconnect`. Without
    it nobody watches. `operation` is for the log.
    """

    def __init__(self, deadlines: Deadlines, seconds: float, receive: Receive | None, operation: str) -> None:
        super().__init__(deadlines, seconds)
        self._receive = receive
        self._operation = operation
        self._watch: asyncio.Task[None] | None = None
        self._left = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        except TimeoutError:
            if self._left:
                raise ClientDisconnect from None
            _log.warning("execution.timed_out", operation=self._operation[:100], seconds=self._seconds)
            raise ServiceUnavailable(f"The answer took longer than {self._seconds:g} seconds.") from None
        finally:
            if self._watch is not None:
                self._watch.cancel()
                await asyncio.gather(self._watch, return_exceptions=True)

    def look(self, now: float) -> None:
        super().look(now)
        if self._receive is not None and self._watch is None and now >= self.at - self._seconds + UNWATCHED_SECONDS:
            self._watch = asyncio.get_running_loop().create_task(self._expire_on_disconnect(self._receive))

    async def _expire_on_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self.expire()
