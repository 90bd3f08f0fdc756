"""Table of webhook deliveries: what arrived, verified, and whether it was applied. Bodies are not kept."""

from datetime import datetime

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped

from db.models.base import Base, HasId


class WebhookDelivery(HasId, Base):
    """One message of a sender. `outcome` is null until it is applied; `error` is the code of the last failure."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("source", "message_id"),
        CheckConstraint("outcome in ('applied', 'stale', 'ignored')", name="outcome"),
        CheckConstraint("(applied_at is null) = (outcome is null)", name="applied"),
    )

    source: Mapped[str]
    message_id: Mapped[str]
    event_type: Mapped[str]
    subject: Mapped[str | None]
    attempts: Mapped[int]
    received_at: Mapped[datetime]
    applied_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    error: Mapped[str | None]
