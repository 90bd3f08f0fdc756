"""Inside the scratch schema of `gatehouse quota prove`: work that is paid for, and attacks by direct SQL."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.session import Database, Session

ATTACKS: Sequence[str] = (
    "insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at)"
    " values (gen_random_uuid(), 'spend', :user, :feature, '1970-01-01', 1000000, 999999, :now)",
    "insert into ledger (paid_for, kind, user_id, feature, period, amount, created_at)"
    " values (gen_random_uuid(), 'return', :user, :feature, '1970-01-01', -1, :now)",
    "insert into ledger (paid_for, kind, created_at) select id, 'return', :now from proved_work where undone limit 1",
    "insert into ledger (paid_for, kind, user_id, feature, period, amount, created_at)"
    " values (gen_random_uuid(), 'spend', :user, :feature, '1970-01-01', 1, :now)",
    "insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at)"
    " values (gen_random_uuid(), 'spend', :user, :feature, '1970-01-01', 1, 999999, :now) on conflict do nothing",
    "update ledger set amount = 0, balance = 0",
    "delete from ledger",
    "truncate ledger",
    "insert into counters (user_id, feature, period, used) values (:user, :feature, '1980-01-01', 0)",
    "update counters set used = 0",
    "delete from counters",
    "truncate counters",
    "update usage_days set count = 0",
    "delete from usage_days",
    "truncate usage_days",
    # The trigger of the ledger, on a table of one's own.
    "do $$ begin"
    " create temporary table fake (like ledger) on commit drop;"
    " create trigger fake before insert on fake for each row execute function move_counter();"
    " insert into fake (kind, user_id, feature, period, amount, limit_then, created_at)"
    " select 'adjustment', id, 'aiMessages', '1970-01-01', 1, 1000000, created_at from users limit 1;"
    " end $$",
    # A parent, whose statements the ledger's own triggers for statements do not see.
    "do $$ begin"
    " create temporary table parent (like ledger);"
    " alter table ledger inherit parent;"
    " delete from parent;"
    " end $$",
)
"""What nobody may do to the ledger and what it adds up to; with `:user`, `:feature` and `:now`."""


@asynccontextmanager
async def as_owner(database: Database) -> AsyncIterator[Session]:
    """A transaction of whoever owns the tables, instead of the application's role."""
    async with database.transaction() as session:
        await session.execute(text("set local role none"))
        yield session


async def is_done(session: Session, work_id: UUID) -> bool:
    return bool(await session.scalar(text("select exists (select from proved_work where id = :id)"), {"id": work_id}))


async def do(session: Session, work_id: UUID, user_id: UUID, feature: str, limit: int) -> None:
    """The work that a spend pays for."""
    row = "insert into proved_work (id, user_id, feature, limit_then) values (:id, :user, :feature, :limit)"
    await session.execute(text(row), {"id": work_id, "user": user_id, "feature": feature, "limit": limit})


async def any_work(session: Session, user_id: UUID, salt: str) -> UUID | None:
    """Some work of this account, undone or not; which, the salt decides."""
    some = "select id from proved_work where user_id = :user order by md5(id::text || :salt) limit 1"
    found: UUID | None = await session.scalar(text(some), {"user": user_id, "salt": salt})
    return found


async def undo(session: Session, work_id: UUID) -> None:
    await session.execute(text("update proved_work set undone = true where id = :id"), {"id": work_id})


async def attack(database: Database, number: int, *, owner: bool, values: Mapping[str, Any]) -> bool:
    """Try one of `ATTACKS`; whether the database refused it or nothing came of it."""
    given = {name: value for name, value in values.items() if f":{name}" in ATTACKS[number]}
    try:
        async with as_owner(database) if owner else database.transaction() as session:
            result: Any = await session.execute(text(ATTACKS[number]), given)
            return bool(result.rowcount == 0)
    except DBAPIError:
        return True
