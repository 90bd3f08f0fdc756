"""Tables of portfolios and their positions. What a position costs is computed where it is read."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId

_EXACT = Numeric(26, 8)
"""Of quantities and prices: 18 digits before the point and 8 after it."""


class InvestmentClass(StrEnum):
    STOCK = "STOCK"
    ETF = "ETF"
    FUND = "FUND"
    BOND = "BOND"
    CRYPTO = "CRYPTO"
    OPTION = "OPTION"
    OTHER = "OTHER"


class OptionType(StrEnum):
    CALL = "CALL"
    PUT = "PUT"


class Portfolio(HasId, Base):
    """`version` grows with each change of name, description or currency; the last two columns with each import.

    `position_count` and `cost_basis` are what its positions add up to, kept so that a list of portfolios need not
    read them. The only writer of positions keeps them, under the lock on the portfolio.
    """

    __tablename__ = "portfolios"
    __table_args__ = (
        CheckConstraint("char_length(name) between 1 and 100", name="name_length"),
        CheckConstraint("char_length(description) <= 1000", name="description_length"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("position_count >= 0", name="position_count"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str]
    description: Mapped[str | None]
    currency: Mapped[str]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    position_count: Mapped[int]
    cost_basis: Mapped[Decimal] = mapped_column(Numeric())


Index("ix_portfolios_user_id_id", Portfolio.user_id, Portfolio.id)


class Position(HasId, Base):
    """One lot: identical ones are legal. A quantity below zero is a short."""

    __tablename__ = "positions"
    __table_args__ = (
        CheckConstraint("char_length(symbol) between 1 and 32", name="symbol_length"),
        # NaN is above every number, and the one that numeric with bounds still takes.
        CheckConstraint("quantity <> 0 and quantity <> 'NaN'", name="quantity"),
        CheckConstraint("entry_price >= 0 and entry_price <> 'NaN'", name="entry_price"),
        CheckConstraint("strike_price > 0 and strike_price <> 'NaN'", name="strike_price"),
        CheckConstraint("exit_price >= 0 and exit_price <> 'NaN'", name="exit_price"),
        CheckConstraint(
            "investment_class in ('STOCK', 'ETF', 'FUND', 'BOND', 'CRYPTO', 'OPTION', 'OTHER')",
            name="investment_class",
        ),
        CheckConstraint("option_type in ('CALL', 'PUT')", name="option_type"),
        CheckConstraint(
            "num_nonnulls(strike_price, option_type, expiration)"
            " = case investment_class when 'OPTION' then 3 else 0 end",
            name="option",
        ),
        CheckConstraint("num_nonnulls(exit_date, exit_price) in (0, 2) and exit_date >= entry_date", name="exit"),
    )

    portfolio_id: Mapped[UUID] = mapped_column(ForeignKey("portfolios.id", ondelete="CASCADE"))
    symbol: Mapped[str]
    quantity: Mapped[Decimal] = mapped_column(_EXACT)
    entry_price: Mapped[Decimal] = mapped_column(_EXACT)
    entry_date: Mapped[date]
    investment_class: Mapped[str]
    strike_price: Mapped[Decimal | None] = mapped_column(_EXACT)
    option_type: Mapped[str | None]
    expiration: Mapped[date | None]
    exit_date: Mapped[date | None]
    exit_price: Mapped[Decimal | None] = mapped_column(_EXACT)
    notes: Mapped[str | None]


Index("ix_positions_portfolio_id_entry_date_id", Position.portfolio_id, Position.entry_date.desc(), Position.id.desc())
