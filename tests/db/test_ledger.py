"""The ledger as the database itself guards it: whatever SQL says, and as whom, what is granted adds up and stays."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from db.models import UNLIMITED, UNMETERED
from db.roles import name_in
from db.session import Database
from tests.spenders import account

NOW = datetime(2026, 11, 20, 14, tzinfo=UTC)
NOVEMBER, OCTOBER = date(2026, 11, 1), date(2026, 10, 1)
FEATURE = "aiMessages"

SPEND = """
insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at)
values ($1, 'spend', $2, $3, $4, $5, $6, $7) returning balance
"""
RETURN = "insert into ledger (paid_for, kind, created_at) values ($1, 'return', $2) returning balance"
ADJUST = SPEND.replace("'spend'", "'adjustment'")
EVERYTHING = """
select md5(string_agg(row, '' order by row)) from (
    select 'ledger' || to_jsonb(t)::text as row from ledger t
    union all select 'counters' || to_jsonb(t)::text from counters t
    union all select 'usage_days' || to_jsonb(t)::text from usage_days t
) rows
"""

REFUSALS = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # ON CONFLICT, with a key whose check can be put off
)


class Ledger:
    """One account, and direct SQL on it."""

    def __init__(self, connection: asyncpg.Connection, account: uuid.UUID) -> None:
        self.connection, self.account = connection, account

    async def spend(
        self,
        limit: int | None,
        amount: int = 1,
        *,
        paid_for: uuid.UUID | None = None,
        period: date = NOVEMBER,
        at: datetime = NOW,
        kind: str = SPEND,
    ) -> int | None:
        """The counter after it, or None where nothing was written."""
        values = (paid_for or uuid.uuid4(), self.account, FEATURE, period, amount, limit, at)
        balance: int | None = await self.connection.fetchval(kind, *values)
        return balance

    async def spends(self, number: int, limit: int | None = UNLIMITED, **given: Any) -> list[uuid.UUID]:
        ids = [uuid.uuid4() for _ in range(number)]
        for paid_for in ids:
            assert await self.spend(limit, paid_for=paid_for, **given) is not None
        return ids

    async def give_back(self, paid_for: uuid.UUID, at: datetime = NOW) -> int | None:
        balance: int | None = await self.connection.fetchval(RETURN, paid_for, at)
        return balance

    async def counters(self) -> dict[date, int]:
        """The counter of each period, which is the sum of the ledger."""
        counters = "select period, used from counters where user_id = $1"
        sums = "select period, sum(amount) from ledger where user_id = $1 group by 1"
        found, added = [dict(await self.connection.fetch(query, self.account)) for query in (counters, sums)]
        assert {period: used for period, used in found.items() if period in added or used} == added
        return found

    async def days(self) -> dict[date, int]:
        return dict(await self.connection.fetch("select day, count from usage_days where user_id = $1", self.account))


async def _connect(url: str, role: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    if role == "application":
        await connection.execute(f"set role {name_in(urlsplit(url).path[1:])}")
    return connection


@pytest.fixture(params=["application", "owner"])
async def ledger(request: pytest.FixtureRequest, database_url: str, database: Database) -> AsyncIterator[Ledger]:
    """As the role the application works as, and as a superuser who owns the tables."""
    connection = await _connect(database_url, request.param)
    yield Ledger(connection, await account(database))
    await connection.close()


async def test_a_limit_is_granted_to_the_last_unit_and_no_further(ledger: Ledger) -> None:
    assert [await ledger.spend(2) for _ in range(4)] == [1, 2, None, None]
    assert await ledger.counters() == {NOVEMBER: 2}
    assert await ledger.days() == {NOW.date(): 2}


@pytest.mark.parametrize(("limit", "amount"), [(0, 1), (2, 3), (-1, 1), (2, 10**18), (None, 1)])
async def test_what_is_more_than_the_limit_writes_nothing(limit: int | None, amount: int, ledger: Ledger) -> None:
    assert await ledger.spend(limit, amount) is None
    assert await ledger.spend(limit, amount, kind=ADJUST) is None
    assert (await ledger.counters(), await ledger.days()) == ({}, {})


async def test_a_trigger_of_somebody_else_moves_no_counter(ledger: Ledger) -> None:
    await ledger.spends(2)
    before = await ledger.connection.fetchval(EVERYTHING)
    await ledger.connection.execute("create temporary table fake (like ledger)")
    with pytest.raises(REFUSALS):
        await ledger.connection.execute(
            "create trigger fake before insert on fake for each row execute function move_counter();"
            f"insert into fake (kind, user_id, feature, period, amount, limit_then, created_at)"
            f" values ('adjustment', '{ledger.account}', '{FEATURE}', '{NOVEMBER}', -2, 0, now())"
        )
    assert await ledger.connection.fetchval(EVERYTHING) == before


async def test_a_period_begins_with_a_month(ledger: Ledger) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.spend(5, kind=ADJUST, period=date(2026, 11, 17))
    assert await ledger.counters() == {}


async def test_one_statement_with_many_rows_gets_as_many_as_there_are(ledger: Ledger) -> None:
    many = SPEND.replace("values (", "select ").replace(") returning", " from generate_series(1, 9) returning")
    many = many.replace("$1,", "gen_random_uuid(),").replace("$7", "$1")
    rows = await ledger.connection.fetch(many, NOW, ledger.account, FEATURE, NOVEMBER, 1, 5)
    assert [row["balance"] for row in rows] == [1, 2, 3, 4, 5]
    assert await ledger.counters() == {NOVEMBER: 5}


async def test_the_balance_is_what_the_database_says(ledger: Ledger) -> None:
    forged = SPEND.replace("amount,", "amount, balance,").replace("$5,", "$5, -7,")
    assert await ledger.connection.fetchval(forged, uuid.uuid4(), ledger.account, FEATURE, NOVEMBER, 1, 9, NOW) == 1


async def test_copy_is_guarded_as_well(ledger: Ledger) -> None:
    columns = ["paid_for", "kind", "user_id", "feature", "period", "amount", "limit_then", "created_at"]
    rows = [(uuid.uuid4(), "spend", ledger.account, FEATURE, NOVEMBER, 1, 3, NOW) for _ in range(5)]
    await ledger.connection.copy_records_to_table("ledger", records=rows, columns=columns)
    assert await ledger.counters() == {NOVEMBER: 3}


@pytest.mark.parametrize(
    ("kind", "amount"), [("spend", 0), ("spend", -1), ("adjustment", 0), ("return", 5), ("gift", 1), ("gift", -1)]
)
async def test_no_movement_is_disguised_as_another(kind: str, amount: int, ledger: Ledger) -> None:
    await ledger.spends(3)
    before = await ledger.connection.fetchval(EVERYTHING)
    with contextlib.suppress(asyncpg.CheckViolationError):
        assert await ledger.spend(UNLIMITED, amount, kind=SPEND.replace("'spend'", f"'{kind}'")) is None
    assert await ledger.connection.fetchval(EVERYTHING) == before


async def test_an_object_is_paid_for_once(ledger: Ledger) -> None:
    [paid_for] = await ledger.spends(1)
    with pytest.raises(asyncpg.UniqueViolationError):
        await ledger.spend(UNLIMITED, paid_for=paid_for)
    assert await ledger.counters() == {NOVEMBER: 1}


async def test_what_is_paid_for_cannot_be_skipped(ledger: Ledger) -> None:
    """It would move the counter, and leave no row."""
    [paid_for] = await ledger.spends(1)
    skipping = SPEND.replace("returning", "on conflict do nothing returning")
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError):
        await ledger.connection.fetchval(skipping, paid_for, ledger.account, FEATURE, NOVEMBER, 1, UNLIMITED, NOW)
    assert await ledger.counters() == {NOVEMBER: 1}


async def test_it_is_not_paid_for_twice_by_putting_off_the_check(ledger: Ledger) -> None:
    [paid_for] = await ledger.spends(1)
    attempt = ledger.connection.transaction()
    await attempt.start()
    await ledger.connection.execute("set constraints all deferred")
    assert await ledger.spend(UNLIMITED, paid_for=paid_for) == 2
    with pytest.raises(asyncpg.UniqueViolationError):
        await attempt.commit()
    assert await ledger.counters() == {NOVEMBER: 1}


@pytest.mark.parametrize(
    "statement",
    [
        "update ledger set amount = 0, balance = 0",
        "update ledger set reason = 'other' where false",
        "delete from ledger",
        "truncate ledger",
        "truncate users cascade",
        "insert into ledger select * from ledger on conflict (paid_for, kind) do update set amount = 0",
        "insert into counters select user_id, 'made up', period, 1 from counters limit 1",
        "update counters set used = used - 1",
        "delete from counters",
        "truncate counters",
        "insert into usage_days select user_id, 'made up', day, 1 from usage_days limit 1",
        "update usage_days set count = 0",
        "delete from usage_days",
        "truncate usage_days",
        "with gone as (delete from counters returning user_id) select count(*) from gone",
    ],
)
async def test_what_is_written_is_not_changed(statement: str, ledger: Ledger) -> None:
    await ledger.spends(2)
    before = await ledger.connection.fetchval(EVERYTHING)
    with pytest.raises(REFUSALS):
        await ledger.connection.execute(statement)
    assert await ledger.connection.fetchval(EVERYTHING) == before


async def test_who_is_over_the_limit_gives_back_but_gets_no_more(ledger: Ledger) -> None:
    ids = await ledger.spends(5, limit=5)
    assert await ledger.spend(2) is None
    assert await ledger.give_back(ids[0]) == 4
    assert await ledger.spend(2) is None
    assert [await ledger.give_back(paid_for) for paid_for in ids[1:]] == [3, 2, 1, 0]
    assert [await ledger.spend(2) for _ in range(3)] == [1, 2, None]


async def test_what_was_spent_is_returned_once(ledger: Ledger) -> None:
    ids = await ledger.spends(2)
    assert [await ledger.give_back(ids[0]) for _ in range(3)] == [1, None, None]
    assert await ledger.give_back(uuid.uuid4()) is None
    assert await ledger.counters() == {NOVEMBER: 1}


async def test_many_returns_at_once_are_one(ledger: Ledger, database_url: str) -> None:
    [paid_for, _] = await ledger.spends(2)
    connections = [await _connect(database_url, "application") for _ in range(8)]
    returned = await asyncio.gather(*(connection.fetchval(RETURN, paid_for, NOW) for connection in connections))
    assert sorted(returned, key=str) == [1] + [None] * 7
    for connection in connections:
        await connection.close()
    assert await ledger.counters() == {NOVEMBER: 1}


async def test_a_return_says_nothing_of_its_own(ledger: Ledger) -> None:
    [paid_for] = await ledger.spends(1)
    await ledger.spends(3)
    forged = SPEND.replace("'spend'", "'return'")
    values = (uuid.uuid4(), FEATURE, OCTOBER, -100, None, NOW)
    assert await ledger.connection.fetchval(forged, paid_for, *values) == 3
    assert await ledger.counters() == {NOVEMBER: 3}


async def test_a_return_goes_to_the_month_it_was_spent_in(ledger: Ledger) -> None:
    october = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)
    ids = await ledger.spends(2, period=OCTOBER, at=october)
    await ledger.spends(1)
    assert await ledger.give_back(ids[0]) == 1
    assert await ledger.counters() == {OCTOBER: 1, NOVEMBER: 1}
    assert await ledger.days() == {october.date(): 1, NOW.date(): 1}


async def test_what_is_deleted_later_was_done_nevertheless(ledger: Ledger) -> None:
    """Of counted objects: the count goes down, what was done on the day does not."""
    ids = await ledger.spends(2, period=UNMETERED)
    assert await ledger.give_back(ids[0], NOW + timedelta(days=3)) == 1
    assert await ledger.counters() == {UNMETERED: 1}
    assert await ledger.days() == {NOW.date(): 2}


@pytest.mark.parametrize(
    ("at", "period"),
    [
        (datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC), NOVEMBER),
        (datetime(2026, 11, 1, tzinfo=UTC), OCTOBER),
        (NOW, date(2026, 11, 2)),
    ],
)
async def test_a_spend_is_of_the_month_it_is_made_in(at: datetime, period: date, ledger: Ledger) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.spend(UNLIMITED, period=period, at=at)
    # Whatever time zone the session has chosen.
    await ledger.connection.execute("set timezone = 'Pacific/Kiritimati'")
    right = date(at.year, at.month, 1)
    assert await ledger.spend(UNLIMITED, period=right, at=at) == 1
    assert await ledger.days() == {at.date(): 1}


async def test_an_adjustment_moves_a_counter_within_its_bounds(ledger: Ledger) -> None:
    assert await ledger.spend(5, 3, kind=ADJUST) == 3
    assert await ledger.spend(5, 3, kind=ADJUST) is None
    assert await ledger.spend(5, -2, kind=ADJUST) == 1
    assert await ledger.counters() == {NOVEMBER: 1}
    assert await ledger.days() == {}


async def test_a_counter_never_falls_below_nothing(ledger: Ledger) -> None:
    await ledger.spends(1)
    assert await ledger.spend(5, -2, kind=ADJUST) is None
    assert await ledger.counters() == {NOVEMBER: 1}


async def test_giving_back_works_after_an_adjustment_too(ledger: Ledger) -> None:
    """An operator has made the counter smaller than what is still out."""
    ids = await ledger.spends(2, period=UNMETERED)
    await ledger.spend(5, -1, kind=ADJUST, period=UNMETERED)
    for paid_for in ids:
        await ledger.give_back(paid_for)
    assert await ledger.counters() == {UNMETERED: 0}


async def test_nobody_slips_in_tables_of_the_same_names(ledger: Ledger) -> None:
    await ledger.connection.execute("create temp table counters (like public.counters including all)")
    await ledger.connection.execute("create temp table usage_days (like public.usage_days including all)")
    assert await ledger.spend(5) == 1
    await ledger.connection.execute("drop table pg_temp.counters, pg_temp.usage_days")
    assert await ledger.counters() == {NOVEMBER: 1}
