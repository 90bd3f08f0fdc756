"""Table of audit events: changes of identity, tier, invites and keys, for good. Usage has the ledger."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId


class AuditEvent(HasId, Base):
    """What happened to an account, or without one to an invite. Rows only grow (trigger).

    `details` hold ids and words, never a secret.
    """

    __tablename__ = "audit_events"

    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), index=True)
    action: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
