"""The way of a verified message of any sender: recorded, then applied once. What a message means is not known here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import structlog

import clock
from db import queries
from db.session import Database, Session
from errors import AppError, ServiceUnavailable

Outcome = Literal["applied", "stale", "ignored"]
"""What became of a message; stale: something newer was known; ignored: no business of ours."""

Effect = Callable[[Session], Awaitable[Outcome]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """What is kept of a message beside its effect. `id` is the sender's and stays the same over its retries."""

    source: str
    id: str
    event_type: str
    subject: str | None


async def apply_once(database: Database, message: Message, effect: Effect) -> None:
    """Record the arrival, then run `effect` in one transaction with the mark that it ran.

    Twins wait for each other at the recorded row, and a message that was applied is not applied again. Where `effect`
    raises, nothing of it stays, the row keeps the error's code, and the sender's retry finds the work undone.
    """
    async with database.transaction() as session:
        await queries.deliveries.remember(
            session,
            message.source,
            message.id,
            event_type=message.event_type,
            subject=message.subject,
            now=clock.now(),
        )
    try:
        outcome = await _apply(database, message, effect)
    except Exception as error:
        await _note(database, message, error.code if isinstance(error, AppError) else "INTERNAL_SERVER_ERROR")
        raise
    _log.info(
        "webhook.received", source=message.source, message_id=message.id, type=message.event_type, outcome=outcome
    )


async def _apply(database: Database, message: Message, effect: Effect) -> Outcome | Literal["repeated"]:
    async with database.transaction() as session:
        delivery = await queries.deliveries.for_update(session, message.source, message.id)
        assert delivery is not None  # recorded a moment ago, and nothing removes deliveries
        if delivery.applied_at is not None:
            return "repeated"
        outcome = await effect(session)
        delivery.applied_at, delivery.outcome, delivery.error = clock.now(), outcome, None
        return outcome


async def _note(database: Database, message: Message, code: str) -> None:
    try:
        async with database.transaction() as session:
            await queries.deliveries.note_failure(session, message.source, message.id, code)
    except ServiceUnavailable:
        # The error that is being noted says more than this one, and is raised.
        _log.warning("webhook.failure_not_noted", source=message.source, message_id=message.id, code=code)
