"""Table of audit events: changes of identity, tier, invite and keys, for good. Usage has the ledger."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId


class AuditEvent(HasId, Base):
    """What happened to an account. `details` hold ids and words, never a secret. Rows only grow (trigger)."""

    __tablename__ = "audit_events"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    action: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
