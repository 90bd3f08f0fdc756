"""Writing queued answers in the background. What an answer says is in chat_writing; asking is in chat.

An answer is taken from the queue with a lease, so that however a process ends, somebody settles it: once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

import clock
from db import queries
from db.models import new_id
from db.session import Database, Row, wrote
from domain import usage
from domain.chat_writing import Writer
from errors import AppError

AT_ONCE = 16
"""Answers that one process writes at the same time."""
LEASE = timedelta(seconds=30)
MAX_QUEUED = timedelta(seconds=45)
TICK = 5.0
"""Seconds between two looks at our leases, at what is overdue, and at what another process has queued."""
STOP_SECONDS = 5.0

_LOST = "The answer was interrupted. Ask again."
_BROKEN = "Something went wrong on our side. Ask again."
_NOT_COUNTED = "This message does not count."

_log = structlog.get_logger(__name__)


class Replies:
    """Writes queued answers, `AT_ONCE` at the same time; however many processes do, each answer is settled once."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._worker = new_id()
        self._woken = asyncio.Event()
        self._writing: dict[UUID, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Look into the queue soon. Cheap, never waits and never raises."""
        self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write while the block runs; what is under way at its end goes back into the queue."""
        work = (self._take_turns, self._keep_leases, self._keep_watch)
        loops = [asyncio.create_task(loop(), name="replies") for loop in work]
        try:
            yield
        finally:
            tasks = [*loops, *self._writing.values()]
            for task in tasks:
                task.cancel()
            # Bounded, because a connection that is being given back to a dead database may take its time.
            with contextlib.suppress(AppError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await asyncio.gather(*tasks, return_exceptions=True)
                    async with self._database.transaction() as session:
                        await queries.chat.release(session, self._worker)

    async def _take_turns(self) -> None:
        while True:
            self._woken.clear()
            with _logged("replies.take"):
                await self._take()
            await self._woken.wait()

    async def _take(self) -> None:
        free = AT_ONCE - len(self._writing)
        if free <= 0:
            return  # the first that is through wakes us
        async with self._database.transaction() as session:
            answers = await queries.chat.claim(session, self._worker, free, leased_until=clock.now() + LEASE)
            for answer in answers:
                wrote(session, answer.user_id)
        for answer in answers:
            task = asyncio.create_task(self._write(answer), name="replies")
            self._writing[answer.id] = task
            task.add_done_callback(partial(self._through, answer.id))

    def _through(self, answer_id: UUID, _task: asyncio.Task[None]) -> None:
        del self._writing[answer_id]
        self.wake()

    async def _write(self, answer: Row) -> None:
        with _logged("replies.settle", answer=answer.id):
            try:
                content = await self._writer.write(answer)
            except AppError as error:
                await self._fail(answer.id, error.message)
            except Exception:  # noqa: BLE001 — logged
                # One answer must not end the writing of all the others.
                _log.exception("replies.write", answer=answer.id)
                await self._fail(answer.id, _BROKEN)
            else:
                async with self._database.transaction() as session:
                    wrote(session, answer.user_id)
                    await queries.chat.complete(session, answer.id, self._worker, content, clock.now())

    async def _fail(self, answer_id: UUID, words: str) -> None:
        error = f"{words} {_NOT_COUNTED}"
        async with self._database.transaction() as session:
            # Answer before counter, as in deleting; the other way round they could lock each other.
            if await queries.chat.fail(session, answer_id, self._worker, error, clock.now()):
                await usage.give_back(session, answer_id)

    async def _keep_leases(self) -> None:
        while True:
            with _logged("replies.extend"):
                await self._extend()
            # Not behind the settling, which may take its time.
            self.wake()
            await asyncio.sleep(TICK)

    async def _keep_watch(self) -> None:
        while True:
            with _logged("replies.watch"):
                await self._settle_overdue()
            await asyncio.sleep(TICK)

    async def _extend(self) -> None:
        """Renew our leases, and stop writing what is not ours any more: its conversation was deleted."""
        writing = dict(self._writing)
        if writing:
            async with self._database.transaction() as session:
                await queries.chat.extend(session, self._worker, list(writing), clock.now() + LEASE)
            held = {row.id for row in await self._database.rows(queries.chat.held(self._worker))}
            for answer_id in writing.keys() - held:
                writing[answer_id].cancel()

    async def _settle_overdue(self) -> None:
        """Fail what nobody is going to write any more: processes that were killed, or that are too few."""
        now = clock.now()
        queued_before = now - MAX_QUEUED
        for row in await self._database.rows(queries.chat.overdue(now, queued_before=queued_before)):
            # Each by itself, because one that is locked must not keep all later ones waiting for ever.
            with _logged("replies.settle", answer=row.id):
                if await self._fail_overdue(row.id, now, queued_before):
                    _log.warning("replies.overdue", answer=row.id)

    async def _fail_overdue(self, answer_id: UUID, now: datetime, queued_before: datetime) -> bool:
        error = f"{_LOST} {_NOT_COUNTED}"
        async with self._database.transaction() as session:
            if not await queries.chat.fail_overdue(session, answer_id, error, now, queued_before=queued_before):
                return False
            await usage.give_back(session, answer_id)
        return True


@contextmanager
def _logged(event: str, **facts: object) -> Iterator[None]:
    """Keep a loop alive: what goes wrong is logged, and the next turn tries again."""
    try:
        yield
    except AppError as error:
        _log.warning(event, code=error.code, reason=error.message, **facts)
    except Exception:  # noqa: BLE001 — logged
        _log.exception(event, **facts)
