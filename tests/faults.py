"""Attempts that are killed, at each point where a request awaits. Which requests, and what must hold, is for tests."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import asyncpg
import pytest
from sqlalchemy import literal_column, select
from sqlalchemy.util import await_only

from db.session import Database
from db.statements import Prepared
from tests.gql import Answer

Request = Coroutine[Any, Any, Answer]


class Fault(Enum):
    """How an attempt is killed, and what its points are."""

    CANCELLED = "its task is cancelled, at each suspension of it: all that it awaits, the database or not"
    DISCONNECTED = "the driver's connection breaks, at each statement, before the commit and before its reply"
    TERMINATED = "the backend is terminated by the server, at the same points"


@dataclass
class Attempt:
    """One request under fault. `answer` is None when it was cancelled: nobody heard of it."""

    fault: Fault
    point: int
    reached: int = 0
    answer: Answer | None = None
    backends: set[int] = field(default_factory=set)
    _task: "asyncio.Task[None] | None" = None

    async def run(self, request: Request) -> None:
        """Make the request. However it fails, an answer or its cancellation is what it came to."""
        _UNDER_FAULT.set(self)
        self._task = asyncio.create_task(self._run(request))
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _run(self, request: Request) -> None:
        self.answer = await request

    def suspended(self) -> None:
        """What belongs to the attempt awaits something."""
        if self._task is not None and self.reach():
            self._task.cancel()

    @property
    def hit(self) -> bool:
        """Whether the request went on for long enough to be killed at its point."""
        return self.reached >= self.point

    def reach(self) -> bool:
        """Count a point; whether it is the one. What an attempt has left behind in the background is none of it."""
        if self._task is None or self._task.done():
            return False
        self.reached += 1
        return self.reached == self.point


_ANYTHING = Prepared(select(literal_column("1").label("one")))
_UNDER_FAULT: ContextVar[Attempt | None] = ContextVar("_UNDER_FAULT", default=None)


class _Steps(Coroutine[Any, Any, Any]):
    """A coroutine whose suspensions are points of its attempt."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], attempt: Attempt) -> None:
        self._coroutine, self._attempt = coroutine, attempt

    def send(self, value: Any) -> Any:
        awaited = self._coroutine.send(value)
        self._attempt.suspended()
        return awaited

    def throw(self, *error: Any) -> Any:
        awaited = self._coroutine.throw(*error)
        self._attempt.suspended()
        return awaited

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def _watched(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
    """A task factory under which the tasks that a cancelled attempt makes count as well."""
    attempt = _UNDER_FAULT.get()
    if attempt is not None and attempt.fault is Fault.CANCELLED:
        coroutine = _Steps(coroutine, attempt)
    return asyncio.Task(coroutine, loop=loop, **options)


class Saboteur:
    """Kills attempts. `admin` is a connection of its own, of a superuser."""

    def __init__(self, database: Database, admin: asyncpg.Connection) -> None:
        self._database = database
        self._dialect: Any = database._engine.sync_engine.dialect
        self._admin = admin

    @contextmanager
    def installed(self) -> Iterator["Saboteur"]:
        loop = asyncio.get_running_loop()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("do_execute", "do_execute_no_params", "do_executemany"):
                patch.setattr(self._dialect, name, self._statement(getattr(self._dialect, name)))
            patch.setattr(asyncpg.Connection, "fetch", self._prepared(asyncpg.Connection.fetch))
            patch.setattr(asyncpg.Connection, "execute", self._bound(asyncpg.Connection.execute))
            loop.set_task_factory(_watched)
            try:
                yield self
            finally:
                loop.set_task_factory(None)

    async def attempt(self, request: Request, fault: Fault, point: int) -> Attempt:
        """Make the request, kill it at its point, and wait until the server knows as well."""
        # An attempt may have cost the pool for reads its connection; to connect anew would be more points than before.
        await self._database.rows(_ANYTHING())
        attempt = Attempt(fault, point)
        await asyncio.create_task(attempt.run(request))
        await self._while("pid = any($1) and state <> 'idle'", list(attempt.backends))
        return attempt

    async def _terminate(self, backend: int) -> None:
        # Not waited for by Postgres, which looks every tenth of a second only.
        await self._admin.fetchval("select pg_terminate_backend($1)", backend)
        await self._while("pid = $1", backend)

    async def _while(self, where: str, value: object) -> None:
        query = f"select exists (select from pg_stat_activity where {where})"
        deadline = time.monotonic() + 5
        while await self._admin.fetchval(query, value):
            assert time.monotonic() < deadline, where
            await asyncio.sleep(0.001)

    def _statement(self, execute: Callable[..., None]) -> Callable[..., None]:
        def call(cursor: Any, *arguments: Any) -> None:
            await_only(self._pass(cursor._adapt_connection._connection))
            execute(cursor, *arguments)

        return call

    def _prepared(self, fetch: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Of what is prepared, which has no SQLAlchemy between."""

        async def call(connection: asyncpg.Connection, *arguments: Any, **options: Any) -> Any:
            await self._pass(connection)
            return await fetch(connection, *arguments, **options)

        return call

    def _bound(self, execute: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Of BEGIN and COMMIT. What breaks after a commit, and before its reply, leaves what was committed."""

        async def call(connection: asyncpg.Connection, query: str, *arguments: Any, **options: Any) -> Any:
            if query in ("BEGIN", "COMMIT"):
                await self._pass(connection)
            done = await execute(connection, query, *arguments, **options)
            if query == "COMMIT" and await self._pass(connection):
                raise asyncpg.ConnectionDoesNotExistError("closed in the middle of operation")
            return done

        return call

    async def _pass(self, connection: asyncpg.Connection) -> bool:
        """Count a point of the database and break the connection there, if it is the one."""
        attempt = self._attempt_at(connection)
        if attempt is None:
            return False
        if attempt.fault is Fault.TERMINATED:
            await self._terminate(connection.get_server_pid())
        else:
            connection.terminate()
        return True

    def _attempt_at(self, connection: asyncpg.Connection) -> Attempt | None:
        """The attempt that is to be broken here, if this is its point."""
        attempt = _UNDER_FAULT.get()
        if attempt is None:
            return None
        attempt.backends.add(connection.get_server_pid())
        return attempt if attempt.fault is not Fault.CANCELLED and attempt.reach() else None
