"""Webhook deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_20_1703"
down_revision = "2026_11_20_1702"


def upgrade() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("outcome in ('applied', 'stale', 'ignored')", name=op.f("ck_webhook_deliveries_outcome")),
        sa.CheckConstraint("(applied_at is null) = (outcome is null)", name=op.f("ck_webhook_deliveries_applied")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("source", "message_id", name=op.f("uq_webhook_deliveries_source_message_id")),
    )


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
