"""Statements of usage: the ledger's one insert, and what it adds up to. What a limit is, is decided in domain."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypedDict, Unpack, cast
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Table, bindparam, delete, func, insert, or_, select, true
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import InstrumentedAttribute

from db.models import UNLIMITED, UNMETERED, Base, Counter, LedgerEntry, Override, UsageDay
from db.session import Bound, Read, Row, Session, announce
from db.statements import Prepared, given

_LEDGER = cast("Table", LedgerEntry.__table__)
_SETTLED = "settled"
_PAYS = "pays_"
_MOVED = ("paid_for", "kind", "user_id", "feature", "period", "amount", "limit_then", "reason", "created_at")
_MOVE = Prepared(insert(_LEDGER).returning(_LEDGER.c.balance), _MOVED)
_GIVE_BACK = Prepared(insert(_LEDGER).returning(_LEDGER.c.user_id), ("paid_for", "kind", "created_at"))
_USED = Prepared(
    select(Counter.used).where(
        Counter.user_id == given("user_id"), Counter.feature == given("feature"), Counter.period == given("period")
    )
)


class Terms(TypedDict):
    """Of a spend: its period, what it pays for, the most that the counter may come to, and the moment."""

    period: date
    paid_for: UUID
    limit: int | None
    now: datetime


async def spend(session: Session, user_id: UUID, feature: str, **terms: Unpack[Terms]) -> int | None:
    """Spend one: the counter after it, or None, and nothing written, where that would pass `limit`."""
    balance: int | None = await session.value(_MOVE(**_spending(user_id, feature, terms)))
    if balance is not None:
        settle(session, feature)
        announce(session, user_id)
    return balance


def paid(table: Table, columns: Sequence[str], *returning: Any) -> Prepared:
    """A statement that spends one, and where that was granted inserts the row that was paid for: all or nothing.

    Run by `spend_at_once`. It returns what is wanted of the row and the counter after it as `balance`; no row where the
    spend would pass the limit.
    """
    entry = {name: bindparam(f"{_PAYS}{name}", type_=_LEDGER.c[name].type, required=True) for name in _MOVED}
    spent = insert(_LEDGER).values(entry).returning(_LEDGER.c.balance).cte("spent")
    values = select(*(bindparam(name, type_=table.c[name].type, required=True) for name in columns)).select_from(spent)
    made = insert(table).from_select(columns, values).returning(*returning).cte("made")
    return Prepared(select(*made.c, spent.c.balance).select_from(made.join(spent, true())))


async def spend_at_once(
    session: Session, statement: Prepared, values: Mapping[str, Any], feature: str, terms: Terms
) -> Row | None:
    """`spend` by a statement that `paid` made, with the values of the row, for its `user_id`."""
    user_id = values["user_id"]
    entry = {f"{_PAYS}{name}": value for name, value in _spending(user_id, feature, terms).items()}
    # Before, since nobody may be there any more when it has been done.
    announce(session, user_id)
    row = await session.row(statement(**values, **entry))
    if row is not None:
        settle(session, feature)
    return row


def _spending(user_id: UUID, feature: str, terms: Terms) -> dict[str, Any]:
    return {
        "paid_for": terms["paid_for"],
        "kind": "spend",
        "user_id": user_id,
        "feature": feature,
        "period": terms["period"],
        "amount": 1,
        "limit_then": _stated(terms["limit"]),
        "reason": None,
        "created_at": terms["now"],
    }


def settle(session: Session, feature: str) -> None:
    """Note that this transaction owes nothing of it any more."""
    session.info.setdefault(_SETTLED, set()).add(feature)


def is_settled(session: Session, feature: str) -> bool:
    """Whether this transaction has spent some of it, or need not."""
    return feature in session.info.get(_SETTLED, ())


async def give_back(session: Session, paid_for: UUID, now: datetime) -> bool:
    """Undo the spend that paid for this, in its own period; False when there is none, or it was undone before."""
    user_id: UUID | None = await session.value(_GIVE_BACK(paid_for=paid_for, kind="return", created_at=now))
    if user_id is not None:
        announce(session, user_id)
    return user_id is not None


async def adjust(
    session: Session,
    user_id: UUID,
    feature: str,
    *,
    period: date,
    entry_id: UUID,
    amount: int,
    limit: int | None,
    reason: str,
    now: datetime,
) -> int | None:
    """Move a counter by hand: the counter after it, or None where that would pass `limit`."""
    balance: int | None = await session.value(
        _MOVE(
            paid_for=entry_id,
            kind="adjustment",
            user_id=user_id,
            feature=feature,
            period=period,
            amount=amount,
            limit_then=_stated(limit),
            reason=reason,
            created_at=now,
        )
    )
    if balance is not None:
        announce(session, user_id)
    return balance


def _stated(limit: int | None) -> int:
    return UNLIMITED if limit is None else limit


async def used(session: Session, user_id: UUID, feature: str, period: date) -> int:
    """The counter of one feature in one period."""
    return await session.value(_USED(user_id=user_id, feature=feature, period=period)) or 0


def overview_of(user_id: ColumnElement[UUID] | InstrumentedAttribute[UUID], *around: type[Base]) -> Read:
    """`overview` of the user that the expression stands for, with the parameters `today` and `month`.

    `around`: the tables of the statement around this one that the expression is of.
    """
    today, month = given("today"), given("month")
    done = (
        select(
            UsageDay.feature,
            _sum(UsageDay.count, UsageDay.day == today).label("today"),
            _sum(UsageDay.count, UsageDay.day >= month).label("this_month"),
            _sum(UsageDay.count).label("total"),
        )
        .where(UsageDay.user_id == user_id)
        .group_by(UsageDay.feature)
        .correlate(*around)
        .subquery()
    )
    counted = (
        select(
            Counter.feature,
            _sum(Counter.used, Counter.period == month).label("used_this_month"),
            _sum(Counter.used, Counter.period == UNMETERED).label("used_now"),
        )
        .where(Counter.user_id == user_id, or_(Counter.period == month, Counter.period == UNMETERED))
        .group_by(Counter.feature)
        .correlate(*around)
        .subquery()
    )
    numbers = (done.c.today, done.c.this_month, done.c.total, counted.c.used_this_month, counted.c.used_now)
    return select(
        func.coalesce(done.c.feature, counted.c.feature).label("feature"),
        *(func.coalesce(number, 0).label(number.name) for number in numbers),
    ).select_from(done.join(counted, done.c.feature == counted.c.feature, full=True))


def _sum(column: InstrumentedAttribute[int], where: ColumnElement[bool] | None = None) -> ColumnElement[int]:
    total: ColumnElement[int] = func.sum(column)
    return sql_cast(total if where is None else func.sum(column).filter(where), BigInteger)


_OVERVIEW = Prepared(overview_of(given("user_id")))
_HISTORY = Prepared(
    select(UsageDay.feature, UsageDay.day, UsageDay.count)
    .where(UsageDay.user_id == given("user_id"), UsageDay.day >= given("since"), UsageDay.count > 0)
    .order_by(UsageDay.day)
)


def overview(user_id: UUID, today: date, month: date) -> Bound:
    """What this user did with each feature (`today`, `this_month`, `total`), and what counts against its limit.

    That is `used_this_month` of what is metered, `used_now` of the rest. A feature that was never used has no row.
    `today` and `month` (its first day) are UTC.
    """
    return _OVERVIEW(user_id=user_id, today=today, month=month)


def history(user_id: UUID, since: date) -> Bound:
    """What this user did with each feature on each day from `since` on, oldest first; only days with something."""
    return _HISTORY(user_id=user_id, since=since)


async def newest_entries(session: Session, user_id: UUID, limit: int) -> Sequence[LedgerEntry]:
    """The last rows of this user's ledger, the newest first."""
    newest = select(LedgerEntry).where(LedgerEntry.user_id == user_id)
    order = (LedgerEntry.created_at.desc(), LedgerEntry.paid_for.desc(), LedgerEntry.kind)
    return (await session.scalars(newest.order_by(*order).limit(limit))).all()


async def set_override(
    session: Session,
    user_id: UUID,
    feature: str,
    *,
    extra: int | None,
    until: datetime | None,
    note: str | None,
    now: datetime,
) -> None:
    """Give this user more of a feature, in the place of what was given before."""
    values = {"extra": extra, "until": until, "note": note, "created_at": now}
    given = upsert(Override).values(user_id=user_id, feature=feature, **values)
    await session.execute(given.on_conflict_do_update(index_elements=["user_id", "feature"], set_=values))


async def remove_override(session: Session, user_id: UUID, feature: str) -> bool:
    """Take it back; False when there was none."""
    taken = delete(Override).where(Override.user_id == user_id, Override.feature == feature)
    return await session.scalar(taken.returning(Override.feature)) is not None


async def overrides(session: Session, user_id: UUID) -> list[Override]:
    """What this user was given, expired ones included."""
    given = select(Override).where(Override.user_id == user_id).order_by(Override.feature)
    return list((await session.scalars(given)).all())
