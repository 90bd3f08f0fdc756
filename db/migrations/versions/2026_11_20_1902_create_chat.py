"""Conversations and their messages."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_20_1902"
down_revision = "2026_11_20_1901"


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("char_length(title) between 1 and 200", name=op.f("ck_conversations_title_length")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_conversations_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index("ix_conversations_user_id_id", "conversations", ["user_id", "id"], unique=False)
    _create_messages()


def _create_messages() -> None:
    op.create_table(
        "chat_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("portfolio_id", sa.Uuid(), nullable=True),
        sa.Column("worker", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role in ('USER', 'ASSISTANT')", name=op.f("ck_chat_messages_role")),
        sa.CheckConstraint(
            "status in ('QUEUED', 'STREAMING', 'COMPLETE', 'CANCELLED', 'FAILED')", name=op.f("ck_chat_messages_status")
        ),
        sa.CheckConstraint("role = 'ASSISTANT' or status = 'COMPLETE'", name=op.f("ck_chat_messages_question")),
        sa.CheckConstraint("char_length(content) <= 32000", name=op.f("ck_chat_messages_content_length")),
        sa.CheckConstraint(
            "(status in ('QUEUED', 'STREAMING')) = (finished_at is null)", name=op.f("ck_chat_messages_finished")
        ),
        sa.CheckConstraint("(status = 'STREAMING') = (worker is not null)", name=op.f("ck_chat_messages_worker")),
        sa.CheckConstraint("(worker is null) = (leased_until is null)", name=op.f("ck_chat_messages_lease")),
        sa.CheckConstraint("(status = 'FAILED') = (error is not null)", name=op.f("ck_chat_messages_error")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_chat_messages_user_id")),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_chat_messages_conversation_id")
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_chat_messages_portfolio_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat_messages")),
        sa.UniqueConstraint("conversation_id", "position", name=op.f("uq_chat_messages_conversation_id_position")),
    )
    unfinished, about = sa.text("finished_at is null"), sa.text("portfolio_id is not null")
    op.create_index("ix_chat_messages_unfinished", "chat_messages", ["user_id", "id"], postgresql_where=unfinished)
    op.create_index("ix_chat_messages_portfolio_id", "chat_messages", ["portfolio_id"], postgresql_where=about)


def downgrade() -> None:
    op.drop_table("chat_messages")
    op.drop_table("conversations")
