"""Spending and giving back: what is granted, what a refusal says, in which month it counts, and who is told."""

import asyncio
import contextlib
from collections import Counter as Tally
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import clock
import errors
from db.models import UNMETERED, LedgerEntry, UsageDay, new_id
from db.session import Database
from domain import usage
from domain.actor import Override
from domain.plans import Plans
from tests.spenders import FEATURES, IMPORT, MESSAGES, PLANS, PORTFOLIOS, Spender, account, at, counters, plan

Rows = Callable[..., Awaitable[Sequence[Any]]]
Counted = Callable[[], Awaitable[dict[Any, int]]]


@pytest.fixture
async def spender(database: Database) -> Spender:
    return Spender(database, await account(database))


@pytest.fixture
async def counted(database: Database, spender: Spender) -> Callable[[], Awaitable[dict[Any, int]]]:
    """The spender's counters by period, checked against the ledger's sums."""

    async def read() -> dict[Any, int]:
        return await counters(database, spender.actor.user_id)

    return read


@pytest.mark.parametrize(
    ("standing", "code"),
    [
        ({"invited": False}, "INVITE_REQUIRED"),
        ({"active": False}, "ACCOUNT_DISABLED"),
        ({"signed_in": False}, "UNAUTHENTICATED"),
    ],
)
async def test_who_may_not_spends_nothing(
    standing: dict[str, bool], code: str, spender: Spender, counted: Counted, database: Database
) -> None:
    other = Spender(database, spender.actor.user_id, "enterprise", **standing)
    with pytest.raises(errors.AppError) as refusal:
        await other.spend()
    assert refusal.value.code == code
    assert await counted() == {}


async def test_a_spend_returns_what_is_left(spender: Spender, database: Database) -> None:
    async with database.transaction() as session:
        quotas = [await usage.spend(session, PLANS, spender.actor, PORTFOLIOS, new_id()) for _ in range(2)]
    assert [(quota.used, quota.limit, quota.remaining, quota.resets_at) for quota in quotas] == [
        (1, 2, 1, None),
        (2, 2, 0, None),
    ]


async def test_a_spend_is_one_statement(spender: Spender, statements: list[str], database: Database) -> None:
    async with database.transaction() as session:
        statements.clear()
        await usage.spend(session, PLANS, spender.actor, MESSAGES, new_id())
        assert [statement.split()[:3] for statement in statements] == [["INSERT", "INTO", "ledger"]]


async def test_a_refusal_says_what_would_help(spender: Spender, counted: Counted) -> None:
    at(datetime(2026, 11, 20, tzinfo=UTC))
    for _ in range(2):
        await spender.spend()
    with pytest.raises(errors.TierLimitReached) as refusal:
        await spender.spend()
    details = refusal.value.details
    assert {name: details[name] for name in ("feature", "tier", "limit", "used", "remaining", "resetsAt")} == {
        "feature": MESSAGES,
        "tier": "free",
        "limit": 2,
        "used": 2,
        "remaining": 0,
        "resetsAt": "2026-12-01T00:00:00.000000Z",
    }
    assert [remedy["kind"] for remedy in details["remedies"]] == ["UPGRADE", "WAIT"]
    assert await counted() == {date(2026, 11, 1): 2}


async def test_a_transaction_that_is_refused_a_spend_keeps_what_it_had(spender: Spender, database: Database) -> None:
    """Nothing has failed in the database, so the caller may still decide to commit."""
    async with database.transaction() as session:
        for _ in range(2):
            await usage.spend(session, PLANS, spender.actor, MESSAGES, new_id())
        with pytest.raises(errors.TierLimitReached):
            await usage.spend(session, PLANS, spender.actor, MESSAGES, new_id())
    assert list((await counters(database, spender.actor.user_id)).values()) == [2]


async def spend_in_vain(spender: Spender) -> None:
    """The work that it pays for fails."""
    with contextlib.suppress(RuntimeError):
        async with spender.database.transaction() as session:
            await usage.spend(session, PLANS, spender.actor, MESSAGES, new_id())
            raise RuntimeError


async def test_work_that_fails_is_not_paid_for(spender: Spender, counted: Counted) -> None:
    await spend_in_vain(spender)
    assert await counted() == {}


async def test_200_at_once_on_a_limit_of_100_are_100(database: Database) -> None:
    tiers = (plan("free", 100),)
    plans, actor = Plans(FEATURES, tiers, tiers[0], None), Spender(database, await account(database)).actor

    async def try_it() -> str:
        try:
            async with database.transaction() as session:
                await usage.spend(session, plans, actor, MESSAGES, new_id())
        except errors.TierLimitReached:
            return "refused"
        return "granted"

    outcomes = await asyncio.gather(*(try_it() for _ in range(200)))
    assert Tally(outcomes) == {"granted": 100, "refused": 100}
    assert list((await counters(database, actor.user_id)).values()) == [100]


async def test_downgraded_it_gives_back_but_gets_no_more(database: Database, spender: Spender) -> None:
    paid = Spender(database, spender.actor.user_id, "paid")
    made = [await paid.spend(PORTFOLIOS) for _ in range(5)]
    for feature, used in ((PORTFOLIOS, 5), (PORTFOLIOS, 4)):
        with pytest.raises(errors.TierLimitReached) as refusal:
            await spender.spend(feature)
        assert (refusal.value.details["used"], refusal.value.details["remaining"]) == (used, 0)
        assert await spender.give_back(made.pop())
    assert await counters(database, spender.actor.user_id) == {UNMETERED: 3}


@pytest.mark.parametrize(
    ("extra", "until", "granted"),
    [(1, None, 3), (2, timedelta(hours=1), 4), (2, timedelta(), 2), (None, None, 9)],
)
async def test_an_override_adds_to_the_limit_while_it_lasts(
    extra: int | None, until: timedelta | None, granted: int, database: Database, spender: Spender
) -> None:
    override = Override(MESSAGES, extra, None if until is None else clock.now() + until)
    more = Spender(database, spender.actor.user_id, overrides=(override,))
    outcomes = await asyncio.gather(*(more.spend() for _ in range(9)), return_exceptions=True)
    assert sum(isinstance(outcome, UUID) for outcome in outcomes) == granted


async def test_a_month_begins_at_its_first_microsecond(spender: Spender, monkeypatch: pytest.MonkeyPatch) -> None:
    last = datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: last)
    made = [await spender.spend() for _ in range(2)]
    with pytest.raises(errors.TierLimitReached) as refusal:
        await spender.spend()
    assert refusal.value.details["resetsAt"] == "2026-11-01T00:00:00.000000Z"
    monkeypatch.setattr(clock, "now", lambda: last + timedelta(microseconds=1))
    await spender.spend()
    october, november = last.date().replace(day=1), date(2026, 11, 1)
    assert await counters(spender.database, spender.actor.user_id) == {october: 2, november: 1}
    # To the month it was spent in, also on the first of the next one.
    assert await spender.give_back(made[0])
    assert await counters(spender.database, spender.actor.user_id) == {october: 1, november: 1}


async def test_what_is_counted_knows_no_months(spender: Spender) -> None:
    at(datetime(2026, 10, 31, tzinfo=UTC))
    made = [await spender.spend(PORTFOLIOS) for _ in range(2)]
    at(datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(errors.TierLimitReached):
        await spender.spend(PORTFOLIOS)
    assert await spender.give_back(made[0])
    await spender.spend(PORTFOLIOS)


async def test_giving_back_is_once_and_for_what_was_spent(spender: Spender, counted: Counted) -> None:
    made = await spender.spend()
    assert await spender.give_back(new_id()) is False
    assert Tally(await asyncio.gather(*(spender.give_back(made) for _ in range(10)))) == {True: 1, False: 9}
    assert list((await counted()).values()) == [0]


async def test_usage_of_days_is_what_was_done(spender: Spender, rows: Rows) -> None:
    at(datetime(2026, 11, 19, 12, tzinfo=UTC))
    failed, deleted = await spender.spend(MESSAGES), await spender.spend(PORTFOLIOS)
    at(datetime(2026, 11, 20, 12, tzinfo=UTC))
    await spender.spend(MESSAGES)
    for paid_for in (failed, deleted):
        assert await spender.give_back(paid_for)
    days = await rows(UsageDay, UsageDay.user_id == spender.actor.user_id)
    assert {(row.feature, row.day.day): row.count for row in days} == {
        (MESSAGES, 19): 0,
        (MESSAGES, 20): 1,
        (PORTFOLIOS, 19): 1,
    }


@pytest.mark.parametrize("feature", [MESSAGES, PORTFOLIOS])
async def test_requiring_spends_nothing_and_wants_it_done(
    feature: str, spender: Spender, database: Database, counted: Counted, statements: list[str]
) -> None:
    async with database.transaction() as session:
        statements.clear()
        await usage.require(session, PLANS, spender.actor, feature)
        assert statements == []
        with pytest.raises(RuntimeError, match="nothing of it was spent"):
            usage.require_spent(session, PLANS, feature)
        await usage.spend(session, PLANS, spender.actor, feature, new_id())
        usage.require_spent(session, PLANS, feature)
    assert list((await counted()).values()) == [1]


async def test_a_switch_is_on_or_off(spender: Spender, database: Database) -> None:
    paid = Spender(database, spender.actor.user_id, "paid").actor
    async with database.transaction() as session:
        await usage.require(session, PLANS, paid, IMPORT)
        with pytest.raises(errors.TierLimitReached):
            await usage.require(session, PLANS, spender.actor, IMPORT)


async def test_an_operator_adjusts_within_bounds(spender: Spender, counted: Counted, rows: Rows) -> None:
    assert await spender.adjust(2) == 2
    for amount in (1, -3):
        with pytest.raises(errors.Conflict):
            await spender.adjust(amount)
    assert await spender.adjust(-1) == 1
    entries = await rows(LedgerEntry, LedgerEntry.user_id == spender.actor.user_id)
    assert [(entry.kind, entry.amount, entry.reason) for entry in entries] == [
        ("adjustment", 2, "test"),
        ("adjustment", -1, "test"),
    ]
    assert list((await counted()).values()) == [1]


class TestAnnouncements:
    """Other processes are told after the commit, many changes at once."""

    @pytest.fixture
    async def told(self, database: Database, database_url: str) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
        """`await told()`: what was announced since, an entry for each notification, once nothing waits to be told."""
        heard: asyncio.Queue[str] = asyncio.Queue()
        listener = await asyncpg.connect(database_url)
        await listener.add_listener("gatehouse_usage", lambda *event: heard.put_nowait(event[3]))

        async def told() -> list[str]:
            await all_told(database)
            # Notifications come in the order of their commits: behind this one there is none of before.
            await listener.execute("notify gatehouse_usage, 'end'")
            found = [await heard.get()]
            while found[-1] != "end":
                found.append(await heard.get())
            return found[:-1]

        await told()
        yield told
        await listener.close()

    async def test_many_changes_are_one_notification(
        self,
        told: Callable[[], Awaitable[list[str]]],
        database: Database,
        statements: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One for what comes while nobody tells, and one for all that comes meanwhile, however long it takes."""
        spenders = [Spender(database, await account(database), "enterprise") for _ in range(3)]
        statements.clear()
        notify, done = database._changes._notify, asyncio.Event()

        async def wait_and_notify(*told: Any) -> None:
            await done.wait()
            await notify(*told)

        monkeypatch.setattr(database._changes, "_notify", wait_and_notify)
        for spender in spenders * 5:
            await spender.give_back(await spender.spend())
        assert not [statement for statement in statements if "notify" in statement.lower()]
        done.set()
        found = await told()
        assert 1 <= len(found) <= 2
        assert set(",".join(found).split(",")) == {str(spender.actor.user_id) for spender in spenders}

    async def test_what_came_to_nothing_is_not_told(
        self, told: Callable[[], Awaitable[list[str]]], spender: Spender
    ) -> None:
        await spend_in_vain(spender)
        assert await spender.give_back(new_id()) is False
        assert await told() == []


async def all_told(database: Database) -> None:
    """Wait until no change waits to be announced."""
    telling = database._changes._telling
    if telling is not None:
        await telling
