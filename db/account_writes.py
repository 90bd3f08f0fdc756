"""Which accounts a transaction has written for, noted in it for those who read from a replica (`db.replica`)."""

from typing import Any, cast
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Table, Text, case, func, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert

from db.models import AccountWrite, User
from db.statements import Prepared
from db.transactions import Session

_WRITTEN_FOR = "written_for"


def number(xid: ColumnElement[Any]) -> ColumnElement[int]:
    """An `xid8` as a whole number, which Postgres casts by way of text only."""
    return sql_cast(sql_cast(xid, Text), BigInteger)


_TABLE = cast("Table", AccountWrite.__table__)
_INSERT = insert(_TABLE).values(transaction=number(func.pg_current_xact_id()))
_NOTE = Prepared(
    _INSERT.on_conflict_do_update(
        index_elements=[_TABLE.c.user_id], set_={"transaction": _INSERT.excluded.transaction}
    ).returning(_TABLE.c.user_id),
    ["user_id"],
)


def wrote(session: Session, user_id: UUID) -> None:
    """What this transaction writes is the account's to see: its reads wait for no replica. Costs nothing by itself."""
    session.info.setdefault(_WRITTEN_FOR, set()).add(user_id)


async def note(session: Session) -> None:
    """Note the transaction for each account it `wrote` for. The last statement before its commit.

    Transactions of one account wait for each other here: when nothing more is to be locked, and so in no circle.
    """
    accounts = session.info.pop(_WRITTEN_FOR, None)
    if accounts:
        await session.flush()
        for account in sorted(accounts):
            await session.rows(_NOTE(user_id=account))


def last_write() -> ColumnElement[int]:
    """Of the `User` of the statement around it: the last transaction noted, or 0. Only the primary knows."""
    # Numbers that this cluster has not come to are of another one, whose dump it was made from.
    ours = _TABLE.c.transaction < number(func.pg_snapshot_xmax(func.pg_current_snapshot()))
    noted = select(case((ours, _TABLE.c.transaction), else_=0)).where(_TABLE.c.user_id == User.id).scalar_subquery()
    return func.coalesce(noted, 0)
