"""Table of API keys: digests and sealed secrets, never a readable key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId

SCOPES = ("account:read", "scans:read", "scans:write")
"""What a key can be allowed. A session may do all of it; nothing lets a key manage keys."""


class ApiKey(HasId, Base):
    """`prefix` is the visible start, `digest` SHA-256 of the key, `sealed` the key under API_KEY_ENCRYPTION_KEY."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("octet_length(digest) = 32", name="digest_length"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    sealed: Mapped[bytes | None]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
