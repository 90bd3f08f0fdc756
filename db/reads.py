"""Connections for prepared reads: asyncpg's own pool, without SQLAlchemy between. Writes have theirs in session."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import orjson

from db.statements import Bound, Row

POOL_SIZE = 10
POOL_WAIT_SECONDS = 5
_STATEMENTS = 500
"""That each connection remembers: those of the code, and those composed for operations."""
_STATEMENT_BYTES = 256 * 1024
_TYPES = ("json", "jsonb")


class _Stateless(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """Without a reset between its users: nothing that runs here changes the state of a session."""

    def get_reset_query(self) -> str:
        return ""


class ReadPool:
    """One pool. It connects when it is first used; `close` gives everything back.

    `connect` is what asyncpg connects with, `prepare` the statement that a new connection begins with.
    """

    def __init__(self, connect: Mapping[str, Any], *, prepare: str) -> None:
        self._connect = connect
        self._prepare = prepare
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

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
        pool = self._pool or await self._open()
        arguments = read.arguments()
        connection = await pool.acquire(timeout=POOL_WAIT_SECONDS)
        try:
            records: Sequence[Any] = await connection.fetch(read.prepared.sql, *arguments)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
            # Closed while nobody used it, by a restart or a failover: the others will be as well.
            await pool.expire_connections()
        else:
            return records
        finally:
            await pool.release(connection)
        async with pool.acquire(timeout=POOL_WAIT_SECONDS) as connection:
            again: Sequence[Any] = await connection.fetch(read.prepared.sql, *arguments)
        return again

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    **self._connect,
                    min_size=0,
                    max_size=POOL_SIZE,
                    init=self._begin,
                    connection_class=_Stateless,
                    statement_cache_size=_STATEMENTS,
                    max_cacheable_statement_size=_STATEMENT_BYTES,
                )
            return self._pool

    async def _begin(self, connection: asyncpg.Connection) -> None:
        await connection.execute(self._prepare)
        for name in _TYPES:
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=_text, decoder=orjson.loads, format="text"
            )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
