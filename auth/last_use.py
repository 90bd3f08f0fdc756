"""When an API key was last used: written behind the request, at most once a minute and key."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import structlog

import clock
from db import queries
from db.session import Database

MAX_PENDING = 100
_log = structlog.get_logger(__name__)


class LastUse:
    """Notes uses in the background; a note that cannot be written is dropped, for it holds nobody's right."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[UUID, asyncio.Task[None]] = {}

    def note(self, key_id: UUID, known: datetime | None) -> None:
        """The key was used now; `known` is the use that the database already has."""
        now = clock.now()
        fresh = known is not None and now - known < timedelta(minutes=1)
        if fresh or key_id in self._pending or len(self._pending) >= MAX_PENDING:
            return
        task = asyncio.create_task(self._write(key_id, now))
        self._pending[key_id] = task
        task.add_done_callback(lambda _: self._pending.pop(key_id, None))

    async def _write(self, key_id: UUID, now: datetime) -> None:
        try:
            async with self._database.transaction() as session:
                await queries.api_keys.touch(session, key_id, now)
        except Exception as error:  # noqa: BLE001  # nobody awaits this task; what it meets must be in the log
            _log.warning("api_key.last_use_lost", exc_info=error)

    async def drain(self) -> None:
        """Wait for what is being written; bounded by the statement timeout."""
        await asyncio.gather(*self._pending.values(), return_exceptions=True)
