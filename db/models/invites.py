"""Tables of invites: the codes an operator hands out, and every attempt to use one."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId


class Invite(HasId, Base):
    """`digest` is SHA-256 of the folded code, so that a look-up by index tells nothing through its timing."""

    __tablename__ = "invites"
    __table_args__ = (
        CheckConstraint("uses between 0 and max_uses", name="uses"),
        CheckConstraint("octet_length(digest) = 32", name="digest_length"),
    )

    code: Mapped[str]
    digest: Mapped[bytes] = mapped_column(unique=True)
    note: Mapped[str | None]
    max_uses: Mapped[int]
    uses: Mapped[int]
    expires_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class InviteAttempt(HasId, Base):
    """One attempt of one user. The code that was typed is not kept: it may be somebody's secret with a typing error."""

    __tablename__ = "invite_attempts"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    invite_id: Mapped[UUID | None] = mapped_column(ForeignKey("invites.id"))
    succeeded: Mapped[bool]
    created_at: Mapped[datetime]


Index("ix_invite_attempts_user_id_created_at", InviteAttempt.user_id, InviteAttempt.created_at)
