"""Tables of chat: conversations, and their messages. What an answer costs is in usage."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId


class ChatRole(StrEnum):
    USER = "USER"
    ASSISTANT = "ASSISTANT"


class ChatStatus(StrEnum):
    QUEUED = "QUEUED"
    STREAMING = "STREAMING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class Conversation(HasId, Base):
    """`updated_at` is when its last question was asked, or its title changed."""

    __tablename__ = "conversations"
    __table_args__ = (CheckConstraint("char_length(title) between 1 and 200", name="title_length"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    title: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


Index("ix_conversations_user_id_id", Conversation.user_id, Conversation.id)


class ChatMessage(HasId, Base):
    """A question, or its answer, which has the next position. `user_id` is the owner of the conversation.

    An answer that is being written belongs to one `worker` for as long as its lease runs. `error` is for its reader.
    """

    __tablename__ = "chat_messages"
    __table_args__ = (
        UniqueConstraint("conversation_id", "position"),
        CheckConstraint("role in ('USER', 'ASSISTANT')", name="role"),
        CheckConstraint("status in ('QUEUED', 'STREAMING', 'COMPLETE', 'CANCELLED', 'FAILED')", name="status"),
        CheckConstraint("role = 'ASSISTANT' or status = 'COMPLETE'", name="question"),
        CheckConstraint("char_length(content) <= 32000", name="content_length"),
        CheckConstraint("(status in ('QUEUED', 'STREAMING')) = (finished_at is null)", name="finished"),
        CheckConstraint("(status = 'STREAMING') = (worker is not null)", name="worker"),
        CheckConstraint("(worker is null) = (leased_until is null)", name="lease"),
        CheckConstraint("(status = 'FAILED') = (error is not null)", name="error"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id"))
    position: Mapped[int]
    role: Mapped[str]
    content: Mapped[str]
    status: Mapped[str]
    error: Mapped[str | None]
    portfolio_id: Mapped[UUID | None] = mapped_column(ForeignKey("portfolios.id", ondelete="SET NULL"))
    worker: Mapped[UUID | None]
    leased_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


# What is to be written, being written or overdue: a few rows among all the messages there ever were.
Index(
    "ix_chat_messages_unfinished",
    ChatMessage.user_id,
    ChatMessage.id,
    postgresql_where=ChatMessage.finished_at.is_(None),
)
# For the deletion of a portfolio, which looks for those that mention it.
Index("ix_chat_messages_portfolio_id", ChatMessage.portfolio_id, postgresql_where=ChatMessage.portfolio_id.is_not(None))
