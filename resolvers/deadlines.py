"""Deadlines of all that is under way, kept by one timer. What becomes of what comes too late is for others."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import Context
from types import TracebackType

LOOK_EVERY = 0.025
"""Seconds, by which a deadline may be passed before anybody looks."""


class Deadlines:
    """Those of one event loop at a time. A timer for each would cost a request as much as to parse its body."""

    def __init__(self) -> None:
        self.running: dict[Deadline, None] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = 0

    def within(self, seconds: float) -> "Deadline":
        """Cancels the block after so many seconds, which becomes `TimeoutError`, as by `asyncio.timeout`."""
        return Deadline(self, seconds)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look after the `running` ones from now on, which are those of this loop."""
        self.running.clear()
        self.loop, self.thread = loop, threading.get_ident()
        self._look_later(loop)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(LOOK_EVERY, self._look, loop, context=Context())  # of no request

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self.running:
            self.loop = None
            return
        self._look_later(loop)
        now = loop.time()
        for deadline in list(self.running):
            deadline.look(now)


class Deadline:
    """`at` is its time by the clock of the loop, which is `now`, and may be moved. Entered once."""

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.at = 0.0
        self.now: Callable[[], float] = time.monotonic  # until it is entered
        self._deadlines = deadlines
        self._seconds = seconds
        self._expired = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def __enter__(self) -> "Deadline":
        # The loop of the others, if a task of it runs here: to ask which loop runs is a call of the kernel.
        known = self._deadlines.loop if self._deadlines.thread == threading.get_ident() else None
        loop = known or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            loop = asyncio.get_running_loop()
            task = asyncio.current_task(loop)
            assert task is not None  # a coroutine runs in one
        self._task, self._cancelling = task, task.cancelling()
        self.now = loop.time
        self.at = self.now() + self._seconds
        if self._deadlines.loop is not loop:
            self._deadlines.begin(loop)
        self._deadlines.running[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.running.pop(self, None)
        task, self._task = self._task, None
        if self._expired and task is not None:
            # Who was cancelled by somebody else as well goes on being cancelled.
            mine = task.uncancel() <= self._cancelling
            if mine and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise self.too_late() from None

    def too_late(self) -> Exception:
        """What the cancellation of the block becomes."""
        return TimeoutError()

    def look(self, now: float) -> None:
        """Whether it is time; `now` by the clock of the loop."""
        if now >= self.at:
            self.expire()

    def expire(self) -> None:
        """End the block now."""
        if not self._expired and self._task is not None:
            self._expired = True
            self._task.cancel()
