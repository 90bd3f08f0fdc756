"""Connections for prepared reads: asyncpg's, without SQLAlchemy between. Writes have theirs in `db.transactions`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg
import orjson

from db.pool import Pool
from db.statements import Bound, Row

POOL_SIZE = 10
POOL_WAIT_SECONDS = 5
_STATEMENTS = 200
"""That each connection remembers: those of the code, and those composed for operations."""
_STATEMENT_BYTES = 256 * 1024
_SETTLE_SECONDS = 5.0
_TYPES = ("json", "jsonb")

Admit = Callable[[asyncpg.Connection], Awaitable[None]]
"""Looks at a new connection before its first use, and raises where neither it nor those before it must be used."""


class ReadPool:
    """One pool. It connects when it is first used; `close` gives everything back.

    `connect` is what asyncpg connects with, `prepare` the statement that a new connection begins with; then `admit`
    looks at it. Connections go from one user to the next without a reset: nothing that runs here changes the state of
    a session.
    """

    def __init__(self, connect: Mapping[str, Any], *, prepare: str, admit: Admit | None = None) -> None:
        self._options = connect
        self._prepare = prepare
        self._admit = admit
        self._refusals = 0
        self._pool: Pool[asyncpg.Connection] = Pool(
            POOL_SIZE, wait=POOL_WAIT_SECONDS, connect=self._connect, disconnect=disconnect
        )

    async def rows(self, read: Bound) -> Sequence[Row]:
        """The rows of one read, outside any transaction."""
        records = await self.fetch(read)
        return list(map(read.prepared.row, records))

    async def value(self, read: Bound) -> Any:
        """The first column of the first row; None without rows."""
        records = await self.fetch(read)
        return records[0][0] if records else None

    async def fetch(self, read: Bound) -> Sequence[Any]:
        """The records of asyncpg."""
        arguments = read.arguments()
        try:
            return await self._fetch(read.prepared.form.sql, arguments)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
            if isinstance(error, ValueError):  # a value that does not fit its parameter
                raise
            # Closed while nobody used it, by a restart or a failover: the others will be as well.
            self._pool.drop_idle()
        return await self._fetch(read.prepared.form.sql, arguments)

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any]:
        connection = await self._pool.take()
        refusals = self._refusals
        try:
            records: Sequence[Any] = await connection.fetch(sql, *arguments)
        except (asyncio.CancelledError, TimeoutError):
            self._pool.give_when(connection, self._settled(connection, refusals))
            raise
        except BaseException:
            self._give(connection, refusals)
            raise
        self._give(connection, refusals)
        return records

    def _give(self, connection: asyncpg.Connection, refusals: int) -> None:
        if connection.is_closed() or refusals != self._refusals:
            self._pool.drop(connection)
        else:
            self._pool.give(connection)

    async def _settled(self, connection: asyncpg.Connection, refusals: int) -> bool:
        return await settled(connection) and refusals == self._refusals

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            **self._options, statement_cache_size=_STATEMENTS, max_cacheable_statement_size=_STATEMENT_BYTES
        )
        try:
            await connection.execute(self._prepare)
            for name in _TYPES:
                await connection.set_type_codec(
                    name, schema="pg_catalog", encoder=_text, decoder=orjson.loads, format="text"
                )
            await self._have_admitted(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _have_admitted(self, connection: asyncpg.Connection) -> None:
        if self._admit is None:
            return
        try:
            await self._admit(connection)
        except BaseException:
            self._refusals += 1
            self._pool.drop_idle()
            raise

    async def close(self) -> None:
        await self._pool.close()


async def settled(connection: asyncpg.Connection) -> bool:
    """Wait until what was cancelled on it has come to its end; whether it can be used then."""
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        async with asyncio.timeout(_SETTLE_SECONDS):
            # asyncpg lets it wait for the cancellation, and so it would let who comes next.
            await connection.execute("SELECT 1")
            return True
    return False


async def disconnect(connection: asyncpg.Connection) -> None:
    """Say goodbye to Postgres; hang up where it does not listen."""
    with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        try:
            await connection.close()
        finally:
            connection.terminate()


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
