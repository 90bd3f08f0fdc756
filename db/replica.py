"""Reads from a replica: whether it shows an account its own writes, and the way back where it cannot answer."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import structlog
from sqlalchemy import func, literal_column, select
from sqlalchemy.exc import DBAPIError

from db.account_writes import number
from db.session import Bound, Database, Row
from db.statements import Prepared
from errors import ServiceUnavailable

LOOK_SECONDS = 1.0
"""Between two looks at how far the replica has come."""
SOON_SECONDS = 0.05
"""Between two looks while somebody's writes are not there yet."""
LOOK_TIMEOUT_SECONDS = 5.0
MAX_BEHIND_SECONDS = 30.0
"""Further behind the primary, it is not read from at all."""

_NOTHING, _EVERYTHING = 0.0, math.inf
_UNREACHED = "it is out of reach"
_STATEMENT_TIMEOUT = "57014"
_OF_ONE_READ = ("40",)
"""Classes of SQLSTATE with which replay ends a read that stands in its way; the next read may well be answered."""

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")

_SYSTEM = "(select system_identifier from pg_control_system())"
_LOCATION = "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end"
_PLACE = Prepared(
    select(
        literal_column(_SYSTEM).label("system"),
        func.current_database().label("database"),
        func.pg_postmaster_start_time().label("started"),
        func.pg_is_in_recovery().label("follows"),
        literal_column(f"({_LOCATION} - '0/0')::bigint").label("position"),
        number(func.pg_snapshot_xmin(func.pg_current_snapshot())).label("horizon"),
    )
)
"""Which server it is, how much of the log it has, and its `horizon`: it shows every transaction with a lower number.

Which of those above it shows, a replica does not say: its `pg_current_snapshot` lists no running ones.
"""


class Replica:
    """A replica of `primary`. Made without a loop and without connecting; it is followed while it is `running`."""

    def __init__(self, url: str, primary: Database, *, pooled_by_others: bool = False) -> None:
        """`pooled_by_others`: as for `Database`. `ValueError` with public words for what is no URL."""
        self._primary = primary
        self._standby = Database(url, pooled_by_others=pooled_by_others, admit=self._admit)
        self._server: object = None
        self._servers = 0
        self._horizon = _NOTHING
        self._current_at = -math.inf
        self._awaited: tuple[float, int] | None = None
        self._trouble: str | None = "it was not looked at yet"
        self._asked = asyncio.Event()

    def has(self, write: int | None) -> bool:
        """Whether it shows this transaction, and whatever was replayed before it; None is a write that nobody knows."""
        if write is None:
            return False
        if write < self._horizon and time.monotonic() - self._current_at <= MAX_BEHIND_SECONDS:
            return True
        self._asked.set()
        return False

    async def rows(self, read: Bound) -> Sequence[Row]:
        """The rows of one read; from the primary where this server does not answer."""
        return await self._read(Database.rows, read)

    async def value(self, read: Bound) -> Any:
        """The first column of the only row of a read, likewise."""
        return await self._read(Database.value, read)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the replica while the block runs, and give its connections back at the end."""
        following = asyncio.create_task(self._follow(), name="replica")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            self._horizon = _NOTHING
            await self._standby.close()

    async def _read(self, way: Callable[[Database, Bound], Awaitable[_Result]], read: Bound) -> _Result:
        servers = self._servers
        try:
            result = await way(self._standby, read)
            # While this waited for a connection, another server may have taken the place of the one that was asked.
            if servers == self._servers:
                return result
        except ServiceUnavailable as error:
            sqlstate = _sqlstate(error.__cause__)
            if sqlstate == _STATEMENT_TIMEOUT:
                raise  # the primary would take as long, and has writes to do
            if not sqlstate.startswith(_OF_ONE_READ):
                self._tell(_UNREACHED)
        except (DBAPIError, asyncpg.PostgresError) as error:
            # A table it has not come to, for instance. Whether the statement is at fault, the primary says.
            _log.info("replica.refused", sqlstate=_sqlstate(error))
        return await way(self._primary, read)

    async def _admit(self, connection: asyncpg.Connection) -> None:
        """A server that was restarted, or recovered from a crash, may stand before what it had shown."""
        server, shown = self._server, self._horizon
        place = await connection.fetchrow(_PLACE.sql)
        self._server = place["started"]
        if server not in (None, self._server) or place["horizon"] < shown < _EVERYTHING:
            self._horizon = _NOTHING
            self._servers += 1
            raise ServiceUnavailable("This is another server than before, or it shows less.")

    async def _follow(self) -> None:
        while True:
            self._asked.clear()
            try:
                await self._look()
            except Exception:  # noqa: BLE001 — logged; without its looks it would not be read from any more
                _log.exception("replica.look")
            if self._trouble is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), LOOK_SECONDS)
            await asyncio.sleep(SOON_SECONDS if self._trouble is None else LOOK_SECONDS)

    async def _look(self) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                [here] = await self._primary.rows(_PLACE())
        except (ServiceUnavailable, TimeoutError):
            return  # nothing is said of the replica
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                [there] = await self._standby.rows(_PLACE())
        except (ServiceUnavailable, TimeoutError):
            self._tell(_UNREACHED)
        except (DBAPIError, asyncpg.PostgresError) as error:
            self._tell(f"it refuses to say where it stands ({_sqlstate(error)})")
        else:
            if self._server in (None, there.started):
                self._tell(self._judge(here, there, began))

    def _judge(self, here: Row, there: Row, began: float) -> str | None:
        """Take what was seen for known; what speaks against reading from it, if anything."""
        if (there.system, there.database) != (here.system, here.database):
            return "it holds another database than DATABASE_URL"
        if there.started == here.started:
            self._horizon, self._current_at = _EVERYTHING, began
            return None
        if not there.follows:
            return "it follows no primary"
        if there.position is None:
            return "it does not say how far it has come"
        self._horizon = there.horizon
        if there.position >= here.position:
            self._current_at, self._awaited = began, None
        elif self._awaited is None or there.position >= self._awaited[1]:
            self._current_at = self._awaited[0] if self._awaited else self._current_at
            self._awaited = began, here.position
        late = self._awaited is not None and began - self._awaited[0] > MAX_BEHIND_SECONDS
        return f"it is more than {MAX_BEHIND_SECONDS:g} seconds behind" if late else None

    def _tell(self, trouble: str | None) -> None:
        """Stop reading from it, or begin again; said once for each change."""
        if trouble is not None:
            self._horizon = _NOTHING
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble is None:
                _log.info("replica.used")
            else:
                _log.warning("replica.not_used", reason=trouble, instead="reads go to DATABASE_URL")


def _sqlstate(error: BaseException | None) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")
