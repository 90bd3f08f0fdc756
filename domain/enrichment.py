"""Filling in, in the background, what a token of Clerk did not say. When it is worth asking is the caller's to know."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

import clock
from db.session import Database
from domain import accounts, providers
from domain.accounts import Terms
from errors import AppError, RateLimited
from integrations.clerk import ClerkApi, ClerkUser

MAX_WAITING = 1000
"""Subjects in the queue; above it a request is dropped, and made again by the subject's next token."""
ASKED_FOR = 60.0
"""Seconds for which a subject that was asked about, with whatever result, is not asked about again."""
MAX_ASKED = 10_000
PER_SECOND = 5.0
BURST = 10
"""A development instance of Clerk allows 100 requests in 10 seconds, to everything that uses it; this is at most 60."""
ATTEMPTS = 3
"""For one subject, where Clerk answers 429; after each it is left alone for as long as it wishes."""
STOP_SECONDS = 5.0

_log = structlog.get_logger(__name__)


class Pace:
    """A token bucket: `burst` at once, `per_second` in the long run, nothing in a pause. For one waiter."""

    def __init__(
        self,
        per_second: float = PER_SECOND,
        burst: int = BURST,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._sleep = sleep
        self._tokens = float(burst)
        self._counted_at = monotonic()
        self._paused_until = self._counted_at

    def pause(self, seconds: float) -> None:
        self._paused_until = self._monotonic() + seconds

    async def wait(self) -> None:
        """Return when one more call is due, and count it."""
        await self._sleep(self._paused_until - self._monotonic())
        self._count()
        if self._tokens < 1:
            await self._sleep((1 - self._tokens) / self._per_second)
            self._count()
        self._tokens -= 1

    def _count(self) -> None:
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._per_second)
        self._counted_at = now


class Enrichment:
    """Asks Clerk's Backend API about subjects, one at a time, and merges what it says like any other fact.

    A subject is in the queue at most once. Nothing here is kept over a restart: the next token asks again.
    """

    def __init__(
        self, database: Database, clerk: ClerkApi, *, issuer: str, terms: Terms, pace: Pace | None = None
    ) -> None:
        self._database = database
        self._clerk = clerk
        self.issuer = issuer
        self._terms = terms
        self._pace = pace or Pace()
        self._queue: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        self._waiting: set[str] = set()
        self._asked: OrderedDict[str, float] = OrderedDict()

    def request(self, subject: str) -> None:
        """Ask for this subject to be looked up soon. Cheap, never waits and never raises; repeats are dropped."""
        if subject in self._waiting or self._was_asked(subject):
            return
        try:
            self._queue.put_nowait(subject)
        except asyncio.QueueFull:
            _log.warning("enrichment.queue_full", waiting=MAX_WAITING)
            return
        self._waiting.add(subject)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look subjects up while the block runs; what is under way at its end is given up."""
        worker = asyncio.create_task(self._work(), name="enrichment")
        try:
            yield
        finally:
            worker.cancel()
            # Bounded, because a connection that is being given back to a dead database may take its time.
            await asyncio.wait({worker}, timeout=STOP_SECONDS)

    async def idle(self) -> None:
        """Wait until nothing is queued or under way."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            subject = await self._queue.get()
            try:
                await self._enrich(subject)
            except AppError as error:
                _log.warning("enrichment.failed", subject=subject, code=error.code, reason=error.message)
            except Exception:  # noqa: BLE001 — logged
                # One subject must not end the look-ups of all the others.
                _log.exception("enrichment.failed", subject=subject)
            finally:
                self._remember_asked(subject)
                self._waiting.discard(subject)
                self._queue.task_done()

    async def _enrich(self, subject: str) -> None:
        user = await self._ask(subject)
        if user is None:
            _log.warning("enrichment.unknown_subject", subject=subject)
            return
        async with self._database.transaction() as session:
            await accounts.merge(session, providers.facts_from_clerk(user, self.issuer), self._terms)

    async def _ask(self, subject: str) -> ClerkUser | None:
        attempt = 0
        while True:
            attempt += 1
            await self._pace.wait()
            try:
                return await self._clerk.user(subject)
            except RateLimited as error:
                self._pace.pause(error.retry_after)
                if attempt == ATTEMPTS:
                    raise

    def _was_asked(self, subject: str) -> bool:
        asked_at = self._asked.get(subject)
        # A clock that was set back must not silence a subject: a moment in the future is none to count from.
        return asked_at is not None and 0 <= clock.now().timestamp() - asked_at < ASKED_FOR

    def _remember_asked(self, subject: str) -> None:
        self._asked[subject] = clock.now().timestamp()
        self._asked.move_to_end(subject)
        while len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)
