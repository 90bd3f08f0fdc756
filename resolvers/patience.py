"""How long an answer is worked on: until its time is over, or its caller has left. Not how a body is waited for."""

import asyncio
from types import TracebackType

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from errors import ServiceUnavailable

_log = structlog.get_logger(__name__)

UNWATCHED_SECONDS = 0.05
"""Most answers are there by then, and need nobody to watch whether the caller leaves: that takes a task."""


class Patience:
    """Cancels the block after `seconds`, which becomes `ServiceUnavailable`, or when the caller has left.

    That is told by `receive`, of which watching takes what is left of a body, and becomes `ClientDisconnect`. Without
    it nobody watches. `operation` is for the log.
    """

    def __init__(self, seconds: float, receive: Receive | None, operation: str) -> None:
        self._deadline = asyncio.timeout(seconds)
        self._seconds = seconds
        self._receive = receive
        self._operation = operation
        self._later: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        await self._deadline.__aenter__()
        if self._receive is not None:
            self._later = asyncio.get_running_loop().call_later(UNWATCHED_SECONDS, self._begin, self._receive)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._later is not None:
            self._later.cancel()
        left = self._watch is not None and self._watch.done()
        try:
            await self._deadline.__aexit__(kind, error, trace)
        except TimeoutError:
            if left:
                raise ClientDisconnect from None
            _log.warning("execution.timed_out", operation=self._operation[:100], seconds=self._seconds)
            raise ServiceUnavailable(f"The answer took longer than {self._seconds:g} seconds.") from None
        finally:
            if self._watch is not None:
                self._watch.cancel()
                await asyncio.gather(self._watch, return_exceptions=True)

    def _begin(self, receive: Receive) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._expire_on_disconnect(receive))

    async def _expire_on_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._deadline.reschedule(0)
