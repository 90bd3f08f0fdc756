"""Portfolios and their positions."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_20_1901"
down_revision = "2026_11_20_1900"


def upgrade() -> None:
    op.create_table(
        "portfolios",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position_count", sa.Integer(), nullable=False),
        sa.Column("cost_basis", sa.Numeric(), nullable=False),
        sa.CheckConstraint("char_length(name) between 1 and 100", name=op.f("ck_portfolios_name_length")),
        sa.CheckConstraint("char_length(description) <= 1000", name=op.f("ck_portfolios_description_length")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_portfolios_currency")),
        sa.CheckConstraint("position_count >= 0", name=op.f("ck_portfolios_position_count")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_portfolios_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portfolios")),
    )
    op.create_index("ix_portfolios_user_id_id", "portfolios", ["user_id", "id"], unique=False)
    _create_positions()


def _create_positions() -> None:
    op.create_table(
        "positions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(26, 8), nullable=False),
        sa.Column("entry_price", sa.Numeric(26, 8), nullable=False),
        sa.Column("entry_date", sa.Date(), nullable=False),
        sa.Column("investment_class", sa.Text(), nullable=False),
        sa.Column("strike_price", sa.Numeric(26, 8), nullable=True),
        sa.Column("option_type", sa.Text(), nullable=True),
        sa.Column("expiration", sa.Date(), nullable=True),
        sa.Column("exit_date", sa.Date(), nullable=True),
        sa.Column("exit_price", sa.Numeric(26, 8), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.CheckConstraint("char_length(symbol) between 1 and 32", name=op.f("ck_positions_symbol_length")),
        sa.CheckConstraint("quantity <> 0 and quantity <> 'NaN'", name=op.f("ck_positions_quantity")),
        sa.CheckConstraint("entry_price >= 0 and entry_price <> 'NaN'", name=op.f("ck_positions_entry_price")),
        sa.CheckConstraint("strike_price > 0 and strike_price <> 'NaN'", name=op.f("ck_positions_strike_price")),
        sa.CheckConstraint("exit_price >= 0 and exit_price <> 'NaN'", name=op.f("ck_positions_exit_price")),
        sa.CheckConstraint(
            "investment_class in ('STOCK', 'ETF', 'FUND', 'BOND', 'CRYPTO', 'OPTION', 'OTHER')",
            name=op.f("ck_positions_investment_class"),
        ),
        sa.CheckConstraint("option_type in ('CALL', 'PUT')", name=op.f("ck_positions_option_type")),
        sa.CheckConstraint(
            "num_nonnulls(strike_price, option_type, expiration)"
            " = case investment_class when 'OPTION' then 3 else 0 end",
            name=op.f("ck_positions_option"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(exit_date, exit_price) in (0, 2) and exit_date >= entry_date",
            name=op.f("ck_positions_exit"),
        ),
        sa.ForeignKeyConstraint(
            ["portfolio_id"], ["portfolios.id"], name=op.f("fk_positions_portfolio_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_positions")),
    )
    op.create_index(
        "ix_positions_portfolio_id_entry_date_id",
        "positions",
        ["portfolio_id", sa.literal_column("entry_date DESC"), sa.literal_column("id DESC")],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("positions")
    op.drop_table("portfolios")
