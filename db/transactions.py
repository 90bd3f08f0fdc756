"""Transactions, and reads made for the occasion, on connections of SQLAlchemy that stay open. Not behind a pooler."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
from sqlalchemy import Insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from db.pool import Pool
from db.reads import disconnect, settled
from db.statements import Bound, Read, Row

_UNDO_SECONDS = 5.0
LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
"""What a connection says that was cut while nobody used it."""


class Session(AsyncSession):
    """A transaction. What is prepared runs beside SQLAlchemy on the same connection, at a third of the cost."""

    driver: asyncpg.Connection | None = None
    """None behind a pooler, where nothing can be prepared."""

    async def rows(self, statement: Bound) -> Sequence[Row]:
        """The rows of a prepared statement. What was added to the session and not flushed is not there yet."""
        prepared = statement.prepared
        if self.driver is None:
            if isinstance(prepared.statement, Insert):
                return (await self.execute(prepared.statement, dict(statement.values))).all()
            return (await self.execute(statement.select)).all()
        arguments = statement.arguments()
        # On its connections SQLAlchemy has asyncpg read JSON, but not write it.
        for place in prepared.form.json:
            arguments[place] = None if arguments[place] is None else orjson.dumps(arguments[place]).decode()
        records = await self.driver.fetch(prepared.form.sql, *arguments)
        return list(map(prepared.row, records))

    async def row(self, statement: Bound) -> Row | None:
        """The only row of a prepared statement, or None."""
        rows = await self.rows(statement)
        return rows[0] if rows else None

    async def value(self, statement: Bound) -> Any:
        """The first column of the only row; None without one."""
        row = await self.row(statement)
        return row[0] if row is not None else None


class LoneSession(Session):
    """For work that is one prepared statement: it runs those, and nothing else.

    What SQLAlchemy keeps of a session is not made, which takes as long as to send the statement.
    """

    def __init__(self, driver: asyncpg.Connection) -> None:
        self.driver = driver
        self._noted: dict[Any, Any] = {}

    @property
    def info(self) -> dict[Any, Any]:
        return self._noted


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """One connection, as SQLAlchemy has it and as its driver does."""

    alchemy: AsyncConnection
    driver: asyncpg.Connection

    @property
    def lost(self) -> bool:
        return bool(self.alchemy.invalidated or self.driver.is_closed())


class Transactions:
    """A pool of connections that SQLAlchemy opened and keeps, so that a transaction does not pay for its pool.

    `engine` has no pool of its own and the isolation level AUTOCOMMIT: `BEGIN` and `COMMIT` are sent here. `BEGIN` also
    finds out whether the connection is still there, for which SQLAlchemy's ping takes three more round trips.
    """

    def __init__(self, engine: AsyncEngine, size: int, *, wait: float) -> None:
        self._engine = engine
        self._pool: Pool[Link] = Pool(size, wait=wait, connect=self._connect, disconnect=_disconnect)
        self._undoing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Session]:
        """One transaction, committed when the block ends and rolled back when it raises or is cancelled."""
        link = await self._begun()
        session = Session(bind=link.alchemy, expire_on_commit=False, autoflush=False)
        session.driver = link.driver
        try:
            yield session
            if session.in_transaction():
                await session.commit()  # of what was added; of the transaction SQLAlchemy knows nothing
                session.expunge_all()
            done = await link.driver.execute("COMMIT")
            if done != "COMMIT":
                raise RuntimeError("A statement of the transaction had failed, so that nothing of it was committed.")
        except BaseException:
            undoing = asyncio.create_task(self._undo(session, link))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            await asyncio.shield(undoing)
            raise
        self._pool.give(link)

    async def take(self) -> Link:
        """A connection without a transaction: each statement is one of its own. To be given back by `give`."""
        link = await self._pool.take()
        while link.driver.is_closed():
            self._pool.drop(link)
            link = await self._pool.take()
        return link

    def give(self, link: Link, error: BaseException | None = None) -> None:
        """Let others have it, after an error of what ran on it, by the driver alone, or without one."""
        if isinstance(error, asyncio.CancelledError | TimeoutError):
            self._pool.give_when(link, settled(link.driver))
        elif link.driver.is_closed() or link.driver.is_in_transaction():
            self._pool.drop(link)
        else:
            self._pool.give(link)

    async def rows(self, read: Read) -> Sequence[Row]:
        """The rows of one read, outside any transaction."""
        try:
            return await self._rows(read)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            self._pool.drop_idle()
        return await self._rows(read)

    async def close(self) -> None:
        if self._undoing:
            await asyncio.wait(self._undoing)
        await self._pool.close()

    async def _rows(self, read: Read) -> Sequence[Row]:
        link = await self._pool.take()
        try:
            rows = (await link.alchemy.execute(read)).all()
        finally:
            with contextlib.suppress(DBAPIError):
                await link.alchemy.rollback()
            self._give(link)
        return rows

    async def _begun(self) -> Link:
        link = await self._pool.take()
        try:
            await self._send_begin(link)
        except TimeoutError:
            raise
        except LOST:
            # Cut while nobody used it: the others were as well.
            self._pool.drop_idle()
            link = await self._pool.take()
            await self._send_begin(link)
        return link

    async def _send_begin(self, link: Link) -> None:
        try:
            await link.driver.execute("BEGIN")
        except BaseException:
            self._pool.drop(link)
            raise

    async def _undo(self, session: Session, link: Link) -> None:
        try:
            async with asyncio.timeout(_UNDO_SECONDS):
                await session.close()
                await link.driver.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - whatever it is: with the connection, the transaction ends as well
            self._pool.drop(link)
        else:
            self._give(link)

    def _give(self, link: Link) -> None:
        if link.lost or link.driver.is_in_transaction():
            self._pool.drop(link)
        else:
            self._pool.give(link)

    async def _connect(self) -> Link:
        alchemy = await self._engine.connect()
        raw = await alchemy.get_raw_connection()
        return Link(alchemy, raw.driver_connection)


async def _disconnect(link: Link) -> None:
    await disconnect(link.driver)
    with contextlib.suppress(Exception):  # it is gone: SQLAlchemy only has to know
        await link.alchemy.invalidate()
        await link.alchemy.close()
