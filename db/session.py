"""The connection to Postgres: transactions for writes, single statements for reads, and what its failures mean."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from types import TracebackType
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import errors
from db import account_writes, roles
from db.account_writes import wrote
from db.changes import Changes
from db.reads import Admit, ReadPool
from db.statements import Bound, Read, Readable, Row
from db.transactions import LoneSession, Session, Transactions
from db.url import dsn

__all__ = ["Bound", "Database", "Read", "Readable", "Row", "Session", "after_commit", "announce", "wrote"]

STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 10_000
POOL_SIZE = 10
"""For transactions; with those for reads (`db.reads`) a process has 20 connections at most, and 10 to a replica."""
POOL_WAIT_SECONDS = 5
CONNECT_SECONDS = 10

_log = structlog.get_logger(__name__)

# Classes of SQLSTATE that speak of Postgres' state and not of our statement: connection, authorization, no such
# database, deadlock, resources, intervention, system; and a statement or lock that took too long.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE_CLASSES = ("08", "28", "3D", "40", "53", "57", "58")
_LOCK_NOT_AVAILABLE = "55P03"


class Database:
    """The connections of a process. Made without a loop and without connecting; `close` gives everything back."""

    def __init__(
        self,
        url: str,
        *,
        pooled_by_others: bool = False,
        schema: str | None = None,
        replicated: bool = False,
        admit: Admit | None = None,
    ) -> None:
        """`pooled_by_others`: `url` is a transaction pooler's, where prepared statements and settings do not stay.

        `schema`: where the tables are, if not where Postgres looks by itself. `replicated`: transactions note whom they
        wrote for. `admit`: it is a replica, whose user says what becomes of failures, and looks at new connections.
        """
        connect = _connect(url, pooled_by_others=pooled_by_others, schema=schema)
        self._engine = _engine(connect, pooled_by_others=pooled_by_others, schema=schema)
        self._transactions: Transactions | None = None
        self._prepared: ReadPool | None = None
        if not pooled_by_others:
            self._transactions = Transactions(self._engine, POOL_SIZE, wait=POOL_WAIT_SECONDS)
            self._prepared = ReadPool(connect, prepare=roles.assume(for_transaction=False), admit=admit)
        self._replicated = replicated
        self._unavailable = _Unavailable(quiet=admit is not None)
        self._changes = Changes(self.rows, channel=f"{schema or 'gatehouse'}_usage")

    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[Session]:
        """One transaction, committed when the block ends and rolled back when it raises. Below it nobody commits.

        `alone`: the block writes in one prepared statement, and there is nothing to roll back when it fails. What was
        sent on a connection that breaks then is not sent again, since it may have been done.
        """
        if alone and self._transactions is not None and not self._replicated:
            return _Alone(self._transactions, self._tell)
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Session]:
        session: Session | None = None
        try:
            with unavailable_when_out_of_reach:
                # What is noted of a write belongs to its transaction.
                async with self._begin() as session:
                    yield session
                    if self._replicated:
                        await account_writes.note(session)
        except (asyncio.CancelledError, errors.ServiceUnavailable):
            # The commit may have been made although nobody learns of it any more. To tell too much does no harm.
            self._tell(session)
            raise
        self._tell(session)

    def _begin(self) -> AbstractAsyncContextManager[Session]:
        return self._pooled() if self._transactions is None else self._transactions.begin()

    @asynccontextmanager
    async def _pooled(self) -> AsyncIterator[Session]:
        """A transaction behind a pooler, which begins with its bounds."""
        async with Session(self._engine, expire_on_commit=False, autoflush=False) as session, session.begin():
            yield session

    def _tell(self, session: Session | None) -> None:
        if session is None:
            return
        self._changes.note(session.info.get(_CHANGED, ()))
        for callback in session.info.get(_CALLBACKS, ()):
            callback()

    async def rows(self, read: Readable) -> Sequence[Row]:
        """The rows of one read, outside any transaction."""
        with self._unavailable:
            if isinstance(read, Bound):
                if self._prepared is not None:
                    return await self._prepared.rows(read)
                read = read.select
            if self._transactions is not None:
                return await self._transactions.rows(read)
            # There bounds hold for a transaction only, so a read is one too.
            async with self._engine.connect() as connection:
                rows = (await connection.execute(read)).all()
                await connection.commit()
                return rows

    async def value(self, read: Bound) -> Any:
        """The first column of the only row of a read."""
        if self._prepared is None:
            row = await self.row(read)
            return row and row[0]
        with self._unavailable:
            return await self._prepared.value(read)

    async def row(self, read: Readable) -> Row | None:
        """The only row of a read, or None."""
        rows = await self.rows(read)
        return rows[0] if rows else None

    async def revision(self) -> str | None:
        """The revision its tables are at, None without any; `ServiceUnavailable` when it does not answer."""
        there = await self.row(select(text("to_regclass('alembic_version') is not null")))
        if there is None or not there[0]:
            return None
        found = await self.row(select(text("version_num from alembic_version")))
        return str(found[0]) if found else None

    async def close(self) -> None:
        await self._changes.close()
        if self._prepared is not None:
            await self._prepared.close()
        if self._transactions is not None:
            await self._transactions.close()
        await self._engine.dispose()


class _Alone(AbstractAsyncContextManager[Session]):
    """A statement that is a transaction of its own, without BEGIN and COMMIT: `Database.transaction(alone=True)`."""

    def __init__(self, transactions: Transactions, tell: Callable[[Session], None]) -> None:
        self._transactions = transactions
        self._tell = tell

    async def __aenter__(self) -> Session:
        with unavailable_when_out_of_reach:
            self._link = await self._transactions.take()
        self._session = LoneSession(self._link.driver)
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transactions.give(self._link, error)
        try:
            if error is not None:
                with unavailable_when_out_of_reach:
                    raise error
        except (asyncio.CancelledError, errors.ServiceUnavailable):
            # It may have been done although nobody learns of it any more. To tell too much does no harm.
            self._tell(self._session)
            raise
        self._tell(self._session)


_CHANGED, _CALLBACKS = "changed", "callbacks"


def announce(session: Session, user_id: UUID) -> None:
    """Once the transaction has committed, tell every process that this user's usage has changed."""
    session.info.setdefault(_CHANGED, set()).add(user_id)
    wrote(session, user_id)


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Call `callback`, which neither waits nor fails, once the transaction has committed."""
    session.info.setdefault(_CALLBACKS, []).append(callback)


def _bounds(schema: str | None) -> dict[str, str]:
    return {
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": "60000",
    } | ({"search_path": schema} if schema else {})


def _connect(url: str, *, pooled_by_others: bool, schema: str | None) -> dict[str, Any]:
    """What asyncpg connects with, for SQLAlchemy or without it."""
    connect: dict[str, Any] = {
        "dsn": dsn(url),
        "timeout": CONNECT_SECONDS,
        "command_timeout": STATEMENT_TIMEOUT_MS / 1000 + 5,
    }
    if not pooled_by_others:
        settings = {"application_name": "gatehouse", "timezone": "UTC"}
        connect["server_settings"] = settings | _bounds(schema)
    return connect


def _engine(connect: dict[str, Any], *, pooled_by_others: bool, schema: str | None) -> AsyncEngine:
    pool: dict[str, Any]
    if pooled_by_others:
        nothing_stays = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        connect = {**connect, **nothing_stays, "prepared_statement_name_func": str}
        pool = {"pool_size": POOL_SIZE, "max_overflow": 0, "pool_timeout": POOL_WAIT_SECONDS, "pool_pre_ping": True}
    else:
        pool = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args=connect,
        # As prepared reads have it: whole numbers beyond 64 bits, which no answer can hold, become floats.
        json_deserializer=orjson.loads,
        # An error must not carry the values of a statement into a log.
        hide_parameters=True,
        **pool,
    )
    warned = False

    def warn_of_owner(assumed: object, tables_are_there: Callable[[], bool]) -> None:
        """Once per process: a database that was renamed or copied has no role yet, and works all the same."""
        nonlocal warned
        if assumed is None and not warned and tables_are_there():
            warned = True
            _log.warning("database.works_as_owner", remedy="gatehouse migrate")

    if pooled_by_others:

        @event.listens_for(engine.sync_engine, "begin")
        def prepare_transaction(connection: Any) -> None:
            for name, value in _bounds(schema).items():
                connection.exec_driver_sql(f"set local {name} = '{value}'")
            assumed = connection.exec_driver_sql(roles.assume(for_transaction=True)).first()
            warn_of_owner(assumed, lambda: bool(connection.exec_driver_sql(roles.TABLES_ARE_THERE).scalar()))

    else:

        @event.listens_for(engine.sync_engine, "connect")
        def prepare_connection(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute(roles.assume(for_transaction=False))

            def tables_are_there() -> bool:
                cursor.execute(roles.TABLES_ARE_THERE)
                return bool(cursor.fetchone()[0])

            warn_of_owner(cursor.fetchone(), tables_are_there)
            cursor.close()
            connection.commit()

    return engine


class _Unavailable(AbstractContextManager[None]):
    """Turn failures to reach Postgres, or to be served in time, into `ServiceUnavailable`; our own faults stay.

    They are logged, unless `quiet`. Keeps nothing, so that one does for all: it is around every statement.
    """

    __slots__ = ("_quiet",)

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError | PoolTimeout | asyncpg.InterfaceError):
            self._log("database.out_of_reach", error=repr(error))
            raise errors.ServiceUnavailable("The database is out of reach. Try again in a moment.") from error
        if isinstance(error, DBAPIError | asyncpg.PostgresError):
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
            cause = error.orig if isinstance(error, DBAPIError) else error
            sqlstate = str(getattr(cause, "sqlstate", None) or "")
            if lost or sqlstate.startswith(_UNAVAILABLE_CLASSES) or sqlstate == _LOCK_NOT_AVAILABLE:
                self._log("database.unavailable", sqlstate=sqlstate)
                raise errors.ServiceUnavailable(
                    "The database could not answer in time. Try again in a moment."
                ) from error

    def _log(self, event: str, **told: object) -> None:
        (_log.debug if self._quiet else _log.warning)(event, **told)


unavailable_when_out_of_reach = _Unavailable()
"""Around what reaches for Postgres."""
