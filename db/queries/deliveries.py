"""Statements of webhook deliveries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from db.models import WebhookDelivery
from db.session import Session


async def remember(
    session: Session, source: str, message_id: str, *, event_type: str, subject: str | None, now: datetime
) -> None:
    """Record that a message arrived; a further arrival of it counts as another attempt."""
    arrived = insert(WebhookDelivery).values(
        id=uuid7(),
        source=source,
        message_id=message_id,
        event_type=event_type,
        subject=subject,
        attempts=1,
        received_at=now,
    )
    again = {"attempts": WebhookDelivery.attempts + 1}
    await session.execute(arrived.on_conflict_do_update(index_elements=["source", "message_id"], set_=again))


async def for_update(session: Session, source: str, message_id: str) -> WebhookDelivery | None:
    """A recorded message, locked until the transaction ends, so that twins are applied once."""
    return await session.scalar(
        select(WebhookDelivery)
        .where(WebhookDelivery.source == source, WebhookDelivery.message_id == message_id)
        .with_for_update()
    )


async def note_failure(session: Session, source: str, message_id: str, code: str) -> None:
    """Keep the code of the error that stopped a message from being applied."""
    await session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.source == source,
            WebhookDelivery.message_id == message_id,
            WebhookDelivery.applied_at.is_(None),
        )
        .values(error=code)
    )


async def newest(session: Session, limit: int) -> Sequence[WebhookDelivery]:
    """For operators: the newest messages first."""
    return (await session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id.desc()).limit(limit))).all()
