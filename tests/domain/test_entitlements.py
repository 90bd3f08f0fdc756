"""The decision: sentences people read, boundaries, and properties over random plans, accounts, usage and times."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import errors
from db.models import UNMETERED
from domain.actor import NOBODY, Override, Standing
from domain.decisions import Check, Decision, Remedy, RemedyKind, Rule
from domain.entitlements import decide, is_included, limit_of, period_of, quota_of, resets_at
from domain.plans import LARGEST, Feature, Plan, Plans, load

NOW = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
SHOP = "https://shop.example.test/plans"

PLANS = load(None, SHOP)
PORTFOLIOS, MESSAGES, SCANS, IMPORT = PLANS.features.values()
FREE = Standing("free", None, invited=True)


def with_limit(feature: Feature, tier: str, limit: int | None) -> Plans:
    """The shipped plans with another limit."""
    changed = tuple(
        replace(plan, limits={**plan.limits, feature.key: limit}) if plan.tier == tier else plan for plan in PLANS.tiers
    )
    return replace(PLANS, tiers=changed, trial=next(plan for plan in changed if plan.tier == PLANS.trial.tier))


def failed(decision: Decision) -> list[Rule]:
    return [check.rule for check in decision.checks if not check.passed]


def detail(decision: Decision, rule: Rule) -> str:
    return next(check.detail for check in decision.checks if check.rule is rule)


def test_the_hundredth_message_and_the_one_after() -> None:
    last = decide(PLANS, FREE, MESSAGES, 99, NOW)
    assert (last.allowed, last.code, last.remedies) == (True, None, ())
    assert last.message == "You have used 99 of 100 AI messages this month."
    after = decide(PLANS, FREE, MESSAGES, 100, NOW)
    assert (after.allowed, after.code, failed(after)) == (False, "TIER_LIMIT_REACHED", [Rule.QUOTA])
    assert after.remedies == (
        Remedy(RemedyKind.UPGRADE, Rule.QUOTA, "Upgrade to Paid for 1000 a month.", tier="paid", url=SHOP),
        Remedy(RemedyKind.WAIT, Rule.QUOTA, "Wait until 2026-12-01 00:00 UTC.", available_at=DECEMBER),
    )
    assert after.message == (
        "You have used 100 of 100 AI messages this month. "
        "Upgrade to Paid for 1000 a month, or wait until 2026-12-01 00:00 UTC."
    )


def test_every_check_is_told_in_order() -> None:
    assert decide(PLANS, FREE._replace(trial_ends_at=NOW - DAY), MESSAGES, 3, NOW).checks == (
        Check(Rule.SIGNED_IN, True, "You are signed in."),
        Check(Rule.ACTIVE, True, "This account is active."),
        Check(Rule.INVITE, True, "You were let in."),
        Check(Rule.PLAN, True, "Your plan Free includes 100 AI messages a month."),
        Check(Rule.OVERRIDE, True, "Nothing extra was granted to you."),
        Check(Rule.TRIAL, True, "Your trial ended on 2026-11-19 18:00 UTC."),
        Check(Rule.QUOTA, True, "You have used 3 of 100 AI messages this month."),
    )


def test_the_refusal_is_an_error_with_everything_a_client_needs() -> None:
    error = decide(PLANS, FREE, MESSAGES, 120, NOW).error()
    assert isinstance(error, errors.TierLimitReached)
    assert error.message.startswith("You have used 120 of 100 AI messages this month. Upgrade to Paid")
    assert error.details == {
        "feature": "aiMessages",
        "tier": "free",
        "limit": 100,
        "used": 120,
        "remaining": 0,
        "resetsAt": "2026-12-01T00:00:00.000000Z",
        "remedies": [
            {
                "kind": "UPGRADE",
                "rule": "QUOTA",
                "message": "Upgrade to Paid for 1000 a month.",
                "tier": "paid",
                "availableAt": None,
                "url": SHOP,
            },
            {
                "kind": "WAIT",
                "rule": "QUOTA",
                "message": "Wait until 2026-12-01 00:00 UTC.",
                "tier": None,
                "availableAt": "2026-12-01T00:00:00.000000Z",
                "url": None,
            },
        ],
    }


def test_what_is_allowed_has_no_error() -> None:
    with pytest.raises(ValueError, match="aiMessages is allowed"):
        decide(PLANS, FREE, MESSAGES, 0, NOW).error()


@pytest.mark.parametrize(
    ("standing", "kind", "message", "remedy"),
    [
        (
            NOBODY,
            errors.Unauthenticated,
            "You are not signed in. Sign in: send a token as Authorization: Bearer <token>.",
            RemedyKind.SIGN_IN,
        ),
        (
            FREE._replace(active=False),
            errors.AccountDisabled,
            "This account is disabled. Ask whoever runs this service.",
            RemedyKind.CONTACT_OPERATOR,
        ),
        (
            FREE._replace(invited=False),
            errors.InviteRequired,
            "An invite is needed first. Call validateInvite with your code.",
            RemedyKind.USE_INVITE,
        ),
    ],
)
def test_what_comes_before_the_plan(
    standing: Standing, kind: type[errors.AppError], message: str, remedy: RemedyKind
) -> None:
    decision = decide(PLANS, standing, MESSAGES, 0, NOW)
    assert (decision.allowed, decision.code, decision.message) == (False, kind.code, message)
    assert [one.kind for one in decision.remedies] == [remedy]
    error = decision.error()
    assert (type(error), error.message, error.details) == (kind, message, {})


def test_of_strangers_and_disabled_accounts_no_more_is_told() -> None:
    stranger, disabled = (
        decide(PLANS, NOBODY, MESSAGES, 5, NOW),
        decide(PLANS, FREE._replace(active=False), SCANS, 5, NOW),
    )
    assert [check.rule for check in stranger.checks] == [Rule.SIGNED_IN]
    assert [check.rule for check in disabled.checks] == [Rule.SIGNED_IN, Rule.ACTIVE]
    assert stranger.quota is disabled.quota is None


def test_an_uninvited_account_learns_of_its_quota_too() -> None:
    decision = decide(PLANS, FREE._replace(invited=False), PORTFOLIOS, 2, NOW)
    assert (decision.code, failed(decision)) == ("INVITE_REQUIRED", [Rule.INVITE, Rule.QUOTA])
    assert [remedy.kind for remedy in decision.remedies] == [
        RemedyKind.USE_INVITE,
        RemedyKind.UPGRADE,
        RemedyKind.DELETE,
    ]
    assert decision.message == "An invite is needed first. Call validateInvite with your code."
    assert isinstance(decision.error(), errors.InviteRequired)


@pytest.mark.parametrize(
    ("tier", "used", "message"),
    [
        ("free", 1, "You have 1 of 2 portfolios."),
        ("free", 2, "You have 2 of 2 portfolios. Upgrade to Paid for 10, or delete one portfolio."),
        ("free", 5, "You have 5 of 2 portfolios. Upgrade to Paid for 10, or delete 4 portfolios."),
        (
            "free",
            12,
            "You have 12 of 2 portfolios. Upgrade to Enterprise for portfolios without limit, or delete 11 portfolios.",
        ),
        (
            "pro",
            10,
            "You have 10 of 10 portfolios. "
            "Upgrade to Enterprise for portfolios without limit, or delete one portfolio.",
        ),
        ("enterprise", 1, "You have 1 portfolio; there is no limit."),
        ("enterprise", 5000, "You have 5000 portfolios; there is no limit."),
        ("unheard of", 2, "You have 2 of 2 portfolios. Upgrade to Paid for 10, or delete one portfolio."),
    ],
)
def test_counts(tier: str, used: int, message: str) -> None:
    assert decide(PLANS, Standing(tier, None, invited=True), PORTFOLIOS, used, NOW).message == message


def test_a_limit_of_one_is_spoken_of_in_the_singular() -> None:
    plans = with_limit(PORTFOLIOS, "free", 1)
    assert decide(plans, FREE, PORTFOLIOS, 0, NOW).message == "You have 0 of 1 portfolio."


def test_a_switch() -> None:
    on = decide(PLANS, FREE, IMPORT, 0, NOW)
    assert (on.allowed, on.quota, on.message) == (True, None, "Your plan Free includes position import.")
    off = decide(with_limit(IMPORT, "free", 0), FREE, IMPORT, 0, NOW)
    assert (off.code, failed(off)) == ("TIER_LIMIT_REACHED", [Rule.PLAN])
    assert off.message == "Your plan Free does not include position import. Upgrade to Paid for position import."
    details = off.error().details
    assert (details["limit"], details["used"], details["remaining"], details["resetsAt"]) == (0, 0, 0, None)


def test_what_no_plan_has_is_for_the_operator_to_grant() -> None:
    plans = PLANS
    for tier in ("free", "paid", "enterprise"):
        plans = replace(
            plans,
            tiers=tuple(
                replace(plan, limits={**plan.limits, SCANS.key: 0}) if plan.tier == tier else plan
                for plan in plans.tiers
            ),
        )
    plans = replace(plans, trial=plans.tiers[0])
    refused = decide(plans, FREE, SCANS, 0, NOW)
    assert refused.message == "Your plan Free does not include scans. Ask whoever runs this service."
    granted = decide(plans, FREE._replace(overrides=(Override("scans", 1, None),)), SCANS, 0, NOW)
    assert granted.allowed
    assert detail(granted, Rule.PLAN) == "Your plan Free does not include scans, but a grant or your trial does."
    assert detail(granted, Rule.OVERRIDE) == "You were granted 1 scan a month more, for good."


def test_an_override_adds_until_it_ends() -> None:
    standing = FREE._replace(overrides=(Override("aiMessages", 50, NOW + DAY), Override("scans", None, None)))
    assert limit_of(PLANS, standing, MESSAGES, NOW + DAY - TICK) == 150
    assert limit_of(PLANS, standing, MESSAGES, NOW + DAY) == 100
    running = decide(PLANS, standing, MESSAGES, 120, NOW)
    assert (running.allowed, running.message) == (True, "You have used 120 of 150 AI messages this month.")
    assert detail(running, Rule.OVERRIDE) == "You were granted 50 AI messages a month more, until 2026-11-21 18:00 UTC."
    ended = decide(PLANS, standing, MESSAGES, 120, NOW + DAY)
    assert failed(ended) == [Rule.OVERRIDE, Rule.QUOTA]
    assert ended.message == (
        "You were granted 50 AI messages a month more, which ended on 2026-11-21 18:00 UTC. "
        "You have used 120 of 100 AI messages this month. Ask whoever runs this service, "
        "or upgrade to Paid for 1000 a month, or wait until 2026-12-01 00:00 UTC."
    )


@pytest.mark.parametrize("used", [99, 150])
def test_an_override_that_ended_is_not_to_blame_where_it_makes_no_difference(used: int) -> None:
    standing = FREE._replace(overrides=(Override("aiMessages", 50, NOW),))
    assert Rule.OVERRIDE not in failed(decide(PLANS, standing, MESSAGES, used, NOW))


def test_a_trial_lends_the_better_limit_while_it_runs() -> None:
    plans = replace(PLANS, trial=PLANS.tiers[1])
    standing = FREE._replace(trial_ends_at=NOW + DAY)
    assert limit_of(plans, standing, MESSAGES, NOW + DAY - TICK) == 1000
    assert limit_of(plans, standing, MESSAGES, NOW + DAY) == 100
    assert limit_of(plans, standing._replace(tier="enterprise"), MESSAGES, NOW) is None
    running = decide(plans, standing, MESSAGES, 500, NOW)
    assert running.allowed
    assert detail(running, Rule.TRIAL) == "Your trial includes 1000 AI messages a month until 2026-11-21 18:00 UTC."
    ended = decide(plans, standing, MESSAGES, 500, NOW + DAY)
    assert failed(ended) == [Rule.TRIAL, Rule.QUOTA]
    assert detail(ended, Rule.TRIAL) == (
        "Your trial, which included 1000 AI messages a month, ended on 2026-11-21 18:00 UTC."
    )
    assert ended.message.endswith("Upgrade to Paid for 1000 a month, or wait until 2026-12-01 00:00 UTC.")


def test_waiting_is_not_offered_where_nothing_is_left_by_then() -> None:
    plans = replace(with_limit(MESSAGES, "free", 0), trial=PLANS.tiers[1])
    standing = FREE._replace(trial_ends_at=DECEMBER)
    assert [one.kind for one in decide(plans, standing, MESSAGES, 1000, NOW).remedies] == [RemedyKind.UPGRADE]
    longer = standing._replace(trial_ends_at=DECEMBER + TICK)
    assert RemedyKind.WAIT in {one.kind for one in decide(plans, longer, MESSAGES, 1000, NOW).remedies}


@pytest.mark.parametrize(
    ("now", "period", "reset"),
    [
        (DECEMBER - TICK, date(2026, 11, 1), DECEMBER),
        (DECEMBER, date(2026, 12, 1), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2028, 2, 29, 23, 59, tzinfo=UTC), date(2028, 2, 1), datetime(2028, 3, 1, tzinfo=UTC)),
        (datetime.fromisoformat("2026-12-01T00:30:00+01:00"), date(2026, 11, 1), DECEMBER),
    ],
)
def test_months_are_calendar_months_in_utc(now: datetime, period: date, reset: datetime) -> None:
    assert (period_of(MESSAGES, now), resets_at(MESSAGES, now)) == (period, reset)
    assert (period_of(PORTFOLIOS, now), resets_at(PORTFOLIOS, now)) == (UNMETERED, None)


def test_limits_stay_what_clients_can_read() -> None:
    standing = FREE._replace(overrides=(Override("aiMessages", LARGEST, None),))
    assert limit_of(PLANS, standing, MESSAGES, NOW) == LARGEST


# Random plans, accounts, usage and times. Small numbers, so that boundaries are met often.

KINDS = {"portfolios": "count", "aiMessages": "metered", "positionImport": "switch"}
TIERS = ("free", "paid", "enterprise")
# Few, so that one is often the very moment at which another thing begins or ends.
_moments = st.sampled_from([NOW - DAY, NOW - TICK, NOW, NOW + TICK, DECEMBER - TICK, DECEMBER, DECEMBER + DAY])


def _limits() -> st.SearchStrategy[dict[str, int | None]]:
    counted = st.sampled_from([None, 0, 0, 1, 2, 5])
    return st.fixed_dictionaries(
        {key: st.sampled_from([None, 0]) if kind == "switch" else counted for key, kind in KINDS.items()}
    )


@st.composite
def _plans(draw: st.DrawFn) -> Plans:
    features = {key: Feature(key, kind, f"{key}s", key) for key, kind in KINDS.items()}  # type: ignore[arg-type]  # of KINDS
    tiers = tuple(Plan(tier, tier.title(), (), draw(_limits())) for tier in TIERS)
    return Plans(features=features, tiers=tiers, trial=draw(st.sampled_from(tiers)), upgrade_url=SHOP)


_mostly = st.integers(0, 9).map(lambda drawn: drawn != 7)

_standings = st.builds(
    Standing,
    tier=st.sampled_from([*TIERS, "gone"]),
    trial_ends_at=st.none() | _moments,
    invited=_mostly,
    overrides=st.lists(
        st.builds(Override, st.sampled_from([*KINDS, "other"]), st.none() | st.integers(1, 4), st.none() | _moments),
        max_size=2,
    ).map(tuple),
    active=_mostly,
    signed_in=_mostly,
)
CASES: dict[str, Any] = {
    "plans": _plans(),
    "standing": _standings,
    "key": st.sampled_from(sorted(KINDS)),
    "used": st.integers(0, 6),
    "now": _moments,
}


def expected_limit(plans: Plans, standing: Standing, key: str, now: datetime) -> float:
    """Written down a second time, with infinity for no limit."""
    tiers = {plan.tier: plan for plan in plans.tiers}
    offered = [tiers.get(standing.tier, plans.tiers[0]).limits[key]]
    if standing.trial_ends_at and now < standing.trial_ends_at:
        offered.append(plans.trial.limits[key])
    live = [one for one in standing.overrides if one.feature == key and (one.until is None or now < one.until)]
    numbers = [float("inf") if limit is None else limit for limit in offered]
    extras = [float("inf") if one.extra is None else one.extra for one in live]
    return max(numbers) + sum(extras)


@settings(max_examples=300)
@given(**CASES)
def test_the_explanation_agrees_with_the_limit(
    plans: Plans, standing: Standing, key: str, used: int, now: datetime
) -> None:
    feature = plans.features[key]
    used = 0 if feature.kind == "switch" else used
    decision = decide(plans, standing, feature, used, now)
    limit = expected_limit(plans, standing, key, now)
    known = limit_of(plans, standing, feature, now)
    in_good_standing = standing.signed_in and standing.active and standing.invited
    assert decision.allowed == (in_good_standing and used < limit)
    assert decision.allowed == all(check.passed for check in decision.checks)
    assert is_included(plans, standing, feature, now) == decide(plans, standing, feature, 0, now).allowed
    assert decision.allowed == (decision.code is None) == (not decision.remedies)
    if feature.kind == "switch":
        assert known in {None, 0}
        assert (known is None) == (limit > 0)
    else:
        assert (float("inf") if known is None else known) == limit
        quota = quota_of(plans, standing, feature, used, now)
        assert quota is not None
        assert quota.remaining == (None if known is None else max(0, known - used))
    if not decision.allowed:
        assert decision.error().code == decision.code
    failing = [check.rule for check in decision.checks if not check.passed]
    assert list(dict.fromkeys(remedy.rule for remedy in decision.remedies)) == failing


def applied(remedy: Remedy, case: dict[str, Any]) -> dict[str, Any]:
    """The question after somebody has done what the remedy says."""
    standing, feature = case["standing"], case["feature"]
    match remedy.kind:
        case RemedyKind.SIGN_IN:
            changes = {"standing": standing._replace(signed_in=True)}
        case RemedyKind.USE_INVITE:
            changes = {"standing": standing._replace(invited=True)}
        case RemedyKind.UPGRADE:
            changes = {"standing": standing._replace(tier=remedy.tier)}
        case RemedyKind.WAIT:
            changes = {"now": remedy.available_at, "used": 0}
        case RemedyKind.DELETE:
            changes = {"used": limit_of(case["plans"], standing, feature, case["now"]) - 1}  # type: ignore[operator]  # there is one
        case _ if remedy.rule is Rule.ACTIVE:
            changes = {"standing": standing._replace(active=True)}
        case _:
            grant = Override(feature.key, None, None)
            changes = {"standing": standing._replace(overrides=(*standing.overrides, grant))}
    return case | changes


@settings(max_examples=300)
@given(**CASES)
def test_a_remedy_lets_its_check_pass_and_one_for_each_flips_the_answer(
    plans: Plans, standing: Standing, key: str, used: int, now: datetime
) -> None:
    feature = plans.features[key]
    case: dict[str, Any] = {
        "plans": plans,
        "standing": standing,
        "feature": feature,
        "used": 0 if feature.kind == "switch" else used,
        "now": now,
    }
    first = decide(**case)
    for remedy in first.remedies:
        after = decide(**applied(remedy, case))
        assert next(check.passed for check in after.checks if check.rule is remedy.rule), remedy
        limits = {Rule.PLAN, Rule.OVERRIDE, Rule.TRIAL, Rule.QUOTA}
        if remedy.rule in limits:
            assert limits.isdisjoint(failed(after)), remedy
    # What a stranger's account lacks shows only once it is signed in: so step by step, one remedy of each rule.
    for _ in range(len(Rule)):
        decision = decide(**case)
        if decision.allowed:
            break
        case = applied(decision.remedies[0], case)
    assert decide(**case).allowed


@settings(max_examples=150)
@given(**CASES)
def test_an_upgrade_is_to_the_lowest_tier_that_would_do(
    plans: Plans, standing: Standing, key: str, used: int, now: datetime
) -> None:
    feature = plans.features[key]
    used = 0 if feature.kind == "switch" else used
    for remedy in decide(plans, standing, feature, used, now).remedies:
        if remedy.kind is RemedyKind.UPGRADE:
            assert remedy.tier is not None
            own = TIERS.index(plans.of(standing.tier).tier)
            allowing = [
                tier
                for tier in TIERS[own + 1 :]
                if used < expected_limit(plans, standing._replace(tier=tier), key, now)
            ]
            assert remedy.tier == allowing[0]
