"""Telling every process whose usage has changed: after the commit, many at once. Who listens is not known here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from uuid import UUID

import structlog
from sqlalchemy import func, select

from db.statements import Read

WINDOW_SECONDS = 0.1
"""Changes within it are told together: `NOTIFY` takes a lock of the whole cluster at each commit."""
RETRY_SECONDS = 1.0
MAX_WAITING = 10_000
_IDS_AT_ONCE = 200  # a payload has less than 8,000 bytes
EVERYBODY = "*"

_log = structlog.get_logger(__name__)


class Changes:
    """Collects users and announces them on `channel`, as ids joined by commas; `*` when there were too many."""

    def __init__(self, run: Callable[[Read], Awaitable[object]], *, channel: str) -> None:
        """`run` runs a statement and commits it."""
        self._run = run
        self._channel = channel
        self._waiting: set[UUID] = set()
        self._overflowed = False
        self._telling: asyncio.Task[None] | None = None
        self._closing = False

    def note(self, user_ids: Iterable[UUID]) -> None:
        """Announce these users soon. Never waits and never fails."""
        self._waiting.update(user_ids)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            self._overflowed = True
        if (self._waiting or self._overflowed) and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(
                self._tell(),
                name="changes",
                context=Context(),  # of no request
            )

    async def close(self) -> None:
        """Announce what is left, or give up where that fails."""
        self._closing = True
        if self._telling is not None:
            await self._telling

    async def _tell(self) -> None:
        while self._waiting or self._overflowed:
            await asyncio.sleep(WINDOW_SECONDS)
            users, everybody = self._waiting, self._overflowed
            self._waiting, self._overflowed = set(), False
            told = [EVERYBODY] if everybody else sorted(map(str, users))
            try:
                await self._notify(told)
            except Exception as error:  # noqa: BLE001 — logged, and tried again
                _log.warning("changes.not_told", users=len(told), reason=repr(error))
                if self._closing:
                    return
                self._overflowed = self._overflowed or everybody
                self.note(users)
                await asyncio.sleep(RETRY_SECONDS)

    async def _notify(self, told: Sequence[str]) -> None:
        for start in range(0, len(told), _IDS_AT_ONCE):
            payload = ",".join(told[start : start + _IDS_AT_ONCE])
            await self._run(select(func.pg_notify(self._channel, payload)))
