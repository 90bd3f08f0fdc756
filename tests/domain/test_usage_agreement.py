"""Explanation and enforcement agree: whatever the account, the database grants a spend where the decision allows it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clock
import errors
from db.models import new_id
from db.session import Database
from domain import usage
from domain.actor import Actor, Override, Standing
from domain.decisions import Decision, Quota
from domain.entitlements import decide, limit_of
from domain.plans import Plan, Plans
from tests.spenders import FEATURES, MESSAGES, PORTFOLIOS, Spender, account, counters, plan

LAST = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
FIRST = datetime(2026, 12, 1, tzinfo=UTC)
TIERS = (plan("free", 0), plan("basic", 2), plan("paid", 5), plan("enterprise", None))

_ends = st.none() | st.sampled_from([LAST, FIRST, FIRST + timedelta(microseconds=1), FIRST + timedelta(days=40)])
_overrides = st.builds(Override, st.sampled_from([MESSAGES, PORTFOLIOS]), st.none() | st.integers(1, 3), _ends)
_mostly = st.integers(0, 9).map(lambda drawn: drawn != 7)
_standings = st.builds(
    Standing,
    tier=st.sampled_from([*(tier.tier for tier in TIERS), "gone"]),
    trial_ends_at=_ends,
    invited=_mostly,
    overrides=st.lists(_overrides, max_size=2).map(tuple),
    active=_mostly,
    signed_in=_mostly,
    deleted=st.booleans(),
)


async def explained(database: Database, plans: Plans, actor: Actor, feature: str) -> Decision:
    """As the fields `entitlement` and `me.entitlements` answer."""
    now = clock.now()
    used = usage.usages(plans, await database.rows(usage.overview(actor.user_id, now)))
    return decide(plans, actor.standing, plans.features[feature], used[feature].counted, now)


async def spent(database: Database, plans: Plans, actor: Actor, feature: str) -> Quota | errors.AppError:
    try:
        async with database.transaction() as session:
            return await usage.spend(session, plans, actor, feature, new_id())
    except errors.AppError as error:
        return error


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    standing=_standings,
    trial=st.sampled_from(TIERS),
    feature=st.sampled_from([MESSAGES, PORTFOLIOS]),
    beyond=st.integers(-2, 1),
    now=st.sampled_from([LAST, FIRST]),
)
async def test_what_is_explained_is_what_happens(
    standing: Standing, trial: Plan, feature: str, beyond: int, now: datetime, database: Database
) -> None:
    plans, user_id = Plans(FEATURES, TIERS, trial, None), await account(database)
    actor = Actor(user_id, standing, scopes=None)
    used = max(0, (limit_of(plans, standing, FEATURES[feature], now) or 2) + beyond)
    with pytest.MonkeyPatch.context() as patch:
        # It stands still, so that both are asked at the same moment. What is metered begins anew with the month.
        patch.setattr(clock, "now", lambda: LAST)
        if used:
            await Spender(database, user_id, "enterprise").adjust(used, feature)
        patch.setattr(clock, "now", lambda: now)
        before = await counters(database, user_id)
        decision = await explained(database, plans, actor, feature)
        outcome = await spent(database, plans, actor, feature)
        after = await explained(database, plans, actor, feature)
    if isinstance(outcome, Quota):
        assert decision.allowed
        assert after.quota == outcome
        assert sum((await counters(database, user_id)).values()) == sum(before.values()) + 1
    else:
        assert not decision.allowed
        assert (decision.code, decision.message) == (outcome.code, outcome.message)
        assert decision.error().details == outcome.details
        assert await counters(database, user_id) == before
