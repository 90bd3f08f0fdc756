"""Tables of usage: the ledger, what it adds up to, and overrides. The triggers that hold them are in the migration."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base

UNMETERED = date(1970, 1, 1)
"""The period of features that are not metered: what is counted now, whenever it began."""

UNLIMITED = 2**63 - 1
"""What `limit_then` says of a spend that no limit holds; a spend that says nothing is refused."""


class LedgerEntry(Base):
    """A movement of a counter, for good. Inserting one is the only thing that moves a counter (trigger `move_counter`).

    A spend over `limit_then`, or without one, inserts no row. A `return` needs `paid_for` and `created_at` alone: the
    rest is that of the spend it undoes, its period included. `balance` is the counter after it.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        # Deferrable, so that nobody can insert with ON CONFLICT: that would move the counter and leave no row.
        PrimaryKeyConstraint("paid_for", "kind", deferrable=True),
        CheckConstraint(
            "case kind when 'spend' then amount > 0 when 'return' then amount < 0 when 'adjustment' then amount <> 0"
            " else false end",
            name="kind",
        ),
        CheckConstraint("balance >= 0", name="balance"),
        CheckConstraint("amount < 0 or coalesce(balance <= limit_then, false)", name="granted"),
        CheckConstraint(
            "extract(day from period) = 1 and (kind <> 'spend' or period = '1970-01-01'"
            " or period = date_trunc('month', created_at at time zone 'UTC')::date)",
            name="period",
        ),
    )

    paid_for: Mapped[UUID]
    kind: Mapped[str]
    user_id: Mapped[UUID]
    feature: Mapped[str]
    period: Mapped[date]
    amount: Mapped[int] = mapped_column(BigInteger)
    limit_then: Mapped[int | None] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str | None]
    created_at: Mapped[datetime]


# For `gatehouse users ledger`: why a counter is what it is. No request reads the ledger.
Index("ix_ledger_user_id_feature_period", LedgerEntry.user_id, LedgerEntry.feature, LedgerEntry.period)


class Counter(Base):
    """What an account has used of a feature in a period: the sum of the ledger."""

    __tablename__ = "counters"
    # Room on the page for the next version of a row that changes all the time.
    __table_args__ = (CheckConstraint("used >= 0", name="used"), {"postgresql_with": {"fillfactor": 50}})

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int] = mapped_column(BigInteger)


class UsageDay(Base):
    """What was done on a day (UTC): spends, less those whose work failed. Deleting what was made undoes nothing."""

    __tablename__ = "usage_days"
    __table_args__ = (CheckConstraint("count >= 0", name="count"), {"postgresql_with": {"fillfactor": 50}})

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class Override(Base):
    """More of one feature for one account: `extra` above its limit, null for no limit at all."""

    __tablename__ = "overrides"
    __table_args__ = (CheckConstraint("extra > 0", name="extra"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    feature: Mapped[str] = mapped_column(primary_key=True)
    extra: Mapped[int | None] = mapped_column(BigInteger)
    until: Mapped[datetime | None]
    note: Mapped[str | None]
    created_at: Mapped[datetime]
