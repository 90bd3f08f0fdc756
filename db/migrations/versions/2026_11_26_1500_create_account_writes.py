"""The table of last writes, for reads from a replica."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_1500"
down_revision = "2026_11_26_1200"


def upgrade() -> None:
    op.create_table(
        "account_writes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_account_writes")),
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    op.drop_table("account_writes")
