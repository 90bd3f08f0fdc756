"""A scan that is paid for and stored in one statement: all or nothing, and never more of them than the limit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from db.models import Counter, LedgerEntry, Scan, Severity
from db.session import Database
from domain import scans
from domain.actor import Actor, Standing
from domain.plans import Plans, load
from domain.scans_results import NewFinding, NewScan
from errors import TierLimitReached
from tests.people import People

Rows = Callable[..., Awaitable[Sequence[Any]]]
SHIPPED = load(None, None)
LIMIT = 5
_NOTHING: dict[str, Any] = dict.fromkeys(NewFinding._fields)
FOUND = NewFinding(**{**_NOTHING, "severity": Severity.HIGH, "message": "m", "suppressed": False})


def limited() -> Plans:
    free = replace(SHIPPED.tiers[0], limits={**SHIPPED.tiers[0].limits, "scans": LIMIT})
    return replace(SHIPPED, tiers=(free, *SHIPPED.tiers[1:]))


async def test_of_many_at_once_as_many_are_stored_as_the_limit_allows(
    make: People, database: Database, rows: Rows
) -> None:
    user_id = (await make.person()).user_id
    actor = Actor(user_id, Standing("free", None, invited=True), scopes=None)
    plans = limited()

    async def create(number: int) -> int | None:
        given = [NewScan(f"tool {number}", metadata={"number": number})]
        assert scans.is_one_statement(given, [None])
        try:
            async with database.transaction(alone=True) as session:
                done = await scans.create(session, plans, actor, given, [None])
        except TierLimitReached:
            return None
        [row] = done.new.values()
        assert (row.tool, row.metadata, row.total) == (f"tool {number}", {"number": number}, 0)
        assert done.quota.used == row.balance
        return done.quota.used

    found = await asyncio.gather(*(create(number) for number in range(20)))
    assert sorted(filter(None, found)) == [1, 2, 3, 4, 5]
    stored = await rows(Scan, Scan.user_id == user_id)
    paid = await rows(LedgerEntry, LedgerEntry.user_id == user_id)
    assert {scan.id for scan in stored} == {entry.paid_for for entry in paid}
    assert len(stored) == LIMIT
    assert [counter.used for counter in await rows(Counter, Counter.user_id == user_id)] == [LIMIT]


async def test_behind_a_pooler_as_well(make: People, database_url: str, rows: Rows) -> None:
    """Where nothing can be prepared, the same statements go through SQLAlchemy."""
    user_id = (await make.person()).user_id
    actor = Actor(user_id, Standing("free", None, invited=True), scopes=None)
    database = Database(database_url, pooled_by_others=True)
    try:
        for number, digest in enumerate([None, b"d" * 32, b"d" * 32]):
            given = [NewScan("t", metadata={"number": number}, findings=[FOUND] if digest else [])]
            async with database.transaction(alone=digest is None) as session:
                done = await scans.create(session, SHIPPED, actor, given, [digest])
            assert [row.metadata for row in done.new.values()] == ([] if number == 2 else [{"number": number}])
            assert done.quota.used == min(number + 1, 2)
    finally:
        await database.close()
    stored = await rows(Scan, Scan.user_id == user_id)
    assert sorted(scan.details["number"] for scan in stored) == [0, 1]
    assert {entry.paid_for for entry in await rows(LedgerEntry, LedgerEntry.user_id == user_id)} == {
        scan.id for scan in stored
    }


def test_what_needs_more_than_one_statement() -> None:
    plain = NewScan("t")
    assert scans.is_one_statement([plain], [None])
    assert not scans.is_one_statement([plain], [b"d" * 32])
    assert not scans.is_one_statement([plain, plain], [None, None])
    assert not scans.is_one_statement([plain._replace(findings=[FOUND])], [None])
