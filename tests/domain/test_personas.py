"""The seed: whatever was tried with a persona, it is put back."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import clock
import errors
from db import queries
from db.models import (
    ApiKey,
    AuditEvent,
    Counter,
    IdempotencyRecord,
    InviteAttempt,
    LedgerEntry,
    Override,
    Portfolio,
    User,
    new_id,
)
from db.session import Database
from domain import accounts, api_keys, invites, personas, portfolios, tiers, usage
from domain.accounts import DEFAULT_KEY, Terms
from domain.actor import Actor, Standing
from domain.entitlements import period_of
from domain.plans import load
from domain.refusal import Refused
from sealing import Sealer

ISSUER = "https://seed.test"
PLANS = load(None)
TERMS = Terms(trial_days=30, sealer=Sealer("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))

Rows = Callable[..., Awaitable[Sequence[Any]]]


async def seed(database: Database) -> dict[str, UUID]:
    async with database.transaction() as session:
        await personas.seed(session, ISSUER, TERMS, PLANS)
        found = {
            name: await queries.accounts.owner_for_update(session, ISSUER, persona.subject)
            for name, persona in personas.PERSONAS.items()
        }
    return {name: user.id for name, user in found.items() if user}


async def test_each_persona_is_as_its_story_says(database: Database, rows: Rows) -> None:
    ids = await seed(database)
    users = {name: (await rows(User, User.id == one))[0] for name, one in ids.items()}
    assert set(users) == {"free", "uninvited", "paid", "near-limit", "trial-ended", "disabled"}
    assert [name for name, user in users.items() if not user.invite_validated] == ["uninvited"]
    assert [name for name, user in users.items() if user.tier == "paid"] == ["paid"]
    assert [name for name, user in users.items() if user.disabled_at] == ["disabled"]
    assert [name for name, user in users.items() if user.trial_ends_at < datetime.now(UTC)] == ["trial-ended"]


async def test_whatever_was_tried_is_put_back(database: Database, rows: Rows) -> None:
    ids = await seed(database)
    actor = Actor(ids["free"], Standing("free", None, invited=True), scopes=None)
    newcomer = Actor(ids["uninvited"], Standing("free", None, invited=False), scopes=None)
    async with database.transaction() as session:
        key = await queries.api_keys.live_named(session, actor.user_id, DEFAULT_KEY, datetime.now(UTC))
        assert key is not None
        await api_keys.revoke(session, actor, key.id)
        await accounts.update_profile(session, actor, {"username": "somebody-else", "full_name": None})
        for _ in range(10):
            assert isinstance(await invites.validate(session, newcomer, "wrong-code", None), Refused)
        assert await accounts.delete_identity(session, ISSUER, personas.PERSONAS["paid"].subject)

    assert await seed(database) == ids
    [user] = await rows(User, User.id == ids["free"])
    assert user.username.startswith("free")
    assert user.full_name == "Free Persona"
    assert [key.name for key in await rows(ApiKey, ApiKey.user_id == ids["free"], ApiKey.revoked_at.is_(None))] == [
        DEFAULT_KEY
    ]
    assert await rows(InviteAttempt, InviteAttempt.user_id == ids["uninvited"]) == []
    [paid] = await rows(User, User.id == ids["paid"])
    assert paid.deleted_at is None


async def test_seeding_again_changes_nothing_else(database: Database, rows: Rows) -> None:
    ids = await seed(database)
    keys = [key.id for key in await rows(ApiKey, ApiKey.user_id == ids["free"])]
    assert await seed(database) == ids
    assert [key.id for key in await rows(ApiKey, ApiKey.user_id == ids["free"])] == keys


async def used(database: Database, user_id: UUID) -> tuple[int, int]:
    """AI messages of this month, and portfolios, as the counters have them."""
    now = datetime.now(UTC)
    periods = [(key, period_of(PLANS.features[key], now)) for key in ("aiMessages", "portfolios")]
    async with database.transaction() as session:
        messages, owned = [await queries.usage.used(session, user_id, key, period) for key, period in periods]
    return messages, owned


def actor_of(user_id: UUID, tier: str = "free") -> Actor:
    return Actor(user_id, Standing(tier, None, invited=True), scopes=None)


async def test_near_limit_has_one_message_left_and_no_portfolio(database: Database, rows: Rows) -> None:
    near = (await seed(database))["near-limit"]
    assert await used(database, near) == (99, 2)
    assert len(await rows(Portfolio, Portfolio.user_id == near)) == 2
    async with database.transaction() as session:
        await usage.spend(session, PLANS, actor_of(near), "aiMessages", new_id())
        with pytest.raises(errors.TierLimitReached):
            await usage.spend(session, PLANS, actor_of(near), "aiMessages", new_id())


@pytest.mark.parametrize("portfolios_now", [0, 1, 2, 5])
@pytest.mark.parametrize("messages_now", [0, 98, 99, 100, 730])
async def test_near_limit_is_near_its_limit_again(
    messages_now: int, portfolios_now: int, database: Database, rows: Rows
) -> None:
    near = (await seed(database))["near-limit"]
    actor = actor_of(near, "enterprise")
    async with database.transaction() as session:
        if messages_now != 99:
            await usage.adjust(session, PLANS, actor, "aiMessages", messages_now - 99, reason="test")
        for portfolio in await rows(Portfolio, Portfolio.user_id == near):
            await portfolios.delete(session, actor, portfolio.id)
        for _ in range(portfolios_now):
            await portfolios.create(session, PLANS, actor, name="Tried", description=None, currency="EUR")
        await tiers.assign(session, PLANS, near, "paid")
        await tiers.grant(session, PLANS, near, "portfolios", extra=None, until=None, note=None)
    kept = [portfolio.id for portfolio in await rows(Portfolio, Portfolio.user_id == near)][:2]

    await seed(database)
    assert await used(database, near) == (99, 2)
    assert await rows(Override, Override.user_id == near) == []
    events = await rows(AuditEvent, AuditEvent.user_id == near)
    assert [(event.action, event.details.get("after")) for event in events[-4:]] == [
        ("tier.set", "paid"),
        ("override.set", None),
        ("tier.set", "free"),
        ("override.removed", None),
    ]
    [user] = await rows(User, User.id == near)
    assert user.tier == "free"
    owned = [portfolio.id for portfolio in await rows(Portfolio, Portfolio.user_id == near)]
    assert (len(owned), owned[: len(kept)]) == (2, kept)
    sums = {counter.feature: counter.used for counter in await rows(Counter, Counter.user_id == near)}
    for feature, counted in sums.items():
        entries = await rows(LedgerEntry, LedgerEntry.user_id == near, LedgerEntry.feature == feature)
        assert sum(entry.amount for entry in entries) == counted


async def test_free_has_room_again_and_keeps_what_leaves_room(database: Database) -> None:
    free = (await seed(database))["free"]
    actor = actor_of(free)
    async with database.transaction() as session:
        messages, owned = await used(database, free)
        await usage.adjust(session, PLANS, actor, "aiMessages", 100 - messages, reason="test")
        for _ in range(2 - owned):
            await portfolios.create(session, PLANS, actor, name="Tried", description=None, currency="EUR")
    assert await used(database, free) == (100, 2)
    await seed(database)
    assert await used(database, free) == (50, 1)
    async with database.transaction() as session:
        await usage.adjust(session, PLANS, actor, "aiMessages", -20, reason="test")
    await seed(database)
    assert await used(database, free) == (30, 1)


async def test_without_limits_there_is_nothing_to_be_near_to(database: Database) -> None:
    near = (await seed(database))["near-limit"]
    unlimited = PLANS.tiers[-1]
    plans = replace(PLANS, tiers=(replace(unlimited, tier="free"),), trial=unlimited)
    async with database.transaction() as session:
        await personas.seed(session, ISSUER, TERMS, plans)
    assert await used(database, near) == (99, 2)


async def test_keys_of_a_guide_mean_it_anew_and_names_differ(database: Database, rows: Rows) -> None:
    near = (await seed(database))["near-limit"]
    actor = Actor(near, Standing("free", None, invited=True), scopes=None)
    now = clock.now()
    async with database.transaction() as session:
        [first, _] = await rows(Portfolio, Portfolio.user_id == near)
        await portfolios.delete(session, actor, first.id)
        session.add(
            IdempotencyRecord(
                user_id=near, field="f", key="k", input_digest=b"", outcome={}, created_at=now, expires_at=now
            )
        )
    await seed(database)
    assert await rows(IdempotencyRecord, IdempotencyRecord.user_id == near) == []
    names = [portfolio.name for portfolio in await rows(Portfolio, Portfolio.user_id == near)]
    assert sorted(names) == sorted(set(names))
    assert len(names) == 2
