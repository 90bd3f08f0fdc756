"""Table of outcomes of mutations, so that a retry gets the first one."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class IdempotencyRecord(Base):
    """What `field` did for this caller under this key: ids and scalars of the outcome, never a secret."""

    __tablename__ = "idempotency_records"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    input_digest: Mapped[bytes]
    outcome: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


Index("ix_idempotency_records_expires_at", IdempotencyRecord.expires_at)
