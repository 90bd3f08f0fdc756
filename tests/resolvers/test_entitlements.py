"""`plans`, `entitlement` and `me.entitlements`: who may ask, and that the explanation is what enforcement says."""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from sqlalchemy import update

import clock
import errors
from auth.local_issuer import ISSUERS
from db.models import User
from db.session import Database
from domain import accounts, tiers, usage
from domain.actor import Actor, Override, Standing
from domain.decisions import RemedyKind, Rule
from domain.entitlements import resets_at
from domain.plans import Kind, load
from schema.entitlements import EntitlementRule, FeatureKind
from schema.entitlements import RemedyKind as ShownRemedyKind
from tests.gql import Answer, Gql
from tests.people import People, Person
from tests.refusals import LONG_AGO, stored

PLANS = load(None)
FEATURES = ["portfolios", "aiMessages", "scans", "positionImport"]
ANSWER = """{
  feature allowed code message
  quota { feature used limit remaining resetsAt }
  checks { rule passed detail }
  remedies { kind rule message tier availableAt url }
}"""
WHY = f"query($feature: String!) {{ entitlement(feature: $feature) {ANSWER} }}"


async def why(gql: Gql, who: Any, feature: str) -> dict[str, Any]:
    answer: Answer = await gql(who, WHY, feature=feature)
    assert not answer.errors, answer.errors
    found: dict[str, Any] = answer.data["entitlement"]
    return found


def failed(found: dict[str, Any]) -> list[str]:
    return [check["rule"] for check in found["checks"] if not check["passed"]]


async def standing(database: Database, person: Person, *, tier: str = "free", **more: Any) -> Actor:
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == person.user_id).values(tier=tier))
    return Actor(person.user_id, Standing(tier, None, invited=True, **more), scopes=None)


async def use(database: Database, person: Person, feature: str, amount: int) -> None:
    actor = Actor(person.user_id, Standing("enterprise", None, invited=True), scopes=None)
    async with database.transaction() as session:
        await usage.adjust(session, PLANS, actor, feature, amount, reason="test")


async def refusal(database: Database, actor: Actor, feature: str) -> errors.AppError:
    """What a spend of this account is refused with."""
    with pytest.raises(errors.AppError) as caught:
        async with database.transaction() as session:
            await usage.spend(session, PLANS, actor, feature, uuid.uuid4())
    return caught.value


async def test_anybody_may_read_the_plans(gql: Gql, statements: list[str]) -> None:
    plans: list[dict[str, Any]] = [{}, {}, {}]
    for member in ("feature", "title", "kind", "included", "limit"):
        answer = await gql(None, f"{{ plans {{ tier title limits {{ {member} }} }} }}")
        assert not answer.errors
        for plan, found in zip(plans, answer.data["plans"], strict=True):
            plan |= {"tier": found["tier"], "title": found["title"]}
            plan[member] = [limit[member] for limit in found["limits"]]
    free, paid, enterprise = plans
    assert [(plan["tier"], plan["title"]) for plan in plans] == [
        ("free", "Free"),
        ("paid", "Paid"),
        ("enterprise", "Enterprise"),
    ]
    assert free["feature"] == FEATURES
    assert free["kind"] == ["COUNT", "METERED", "METERED", "SWITCH"]
    assert (free["limit"], paid["limit"]) == ([2, 100, None, None], [10, 1000, None, None])
    assert set(enterprise["limit"]) == {None}
    assert all(all(plan["included"]) for plan in plans)
    assert statements == []


@pytest.mark.parametrize("feature", FEATURES)
async def test_nobody_learns_that_signing_in_comes_first(feature: str, gql: Gql, statements: list[str]) -> None:
    found = await why(gql, None, feature)
    assert (found["allowed"], found["code"], found["quota"]) == (False, "UNAUTHENTICATED", None)
    assert [(check["rule"], check["passed"]) for check in found["checks"]] == [("SIGNED_IN", False)]
    assert [remedy["kind"] for remedy in found["remedies"]] == ["SIGN_IN"]
    assert statements == []


@pytest.mark.parametrize("state", ["disabled_at", "deleted_at"])
async def test_an_account_that_is_shut_out_learns_that_and_no_more(state: str, gql: Gql, make: People) -> None:
    states: dict[str, Any] = {state: LONG_AGO}
    gone = await make.person(**states)
    found = await why(gql, gone, "aiMessages")
    assert (found["code"], found["quota"]) == ("ACCOUNT_DISABLED", None)
    assert [check["rule"] for check in found["checks"]] == ["SIGNED_IN", "ACTIVE"]


async def test_a_key_needs_the_scope(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    without, within = await make.key(person, "scans:read"), await make.key(person, "account:read")
    before = await stored(database)
    answer = await gql(without, WHY, feature="aiMessages")
    assert (answer.code, answer.data) == ("FORBIDDEN", None)
    assert (await why(gql, within, "aiMessages"))["allowed"] is True
    assert await stored(database) == before


@pytest.mark.parametrize("who", ["nobody", "somebody"])
@pytest.mark.parametrize("feature", ["", "gold", "aiMessage", "x" * 5000])
async def test_an_unknown_feature_is_told_the_known_ones(who: str, feature: str, gql: Gql, make: People) -> None:
    asker = await make.person() if who == "somebody" else None
    answer = await gql(asker, WHY, feature=feature)
    assert (answer.code, answer.data) == ("BAD_USER_INPUT", None)
    assert answer.fields == {"feature": "One of portfolios, aiMessages, scans, positionImport."}


@pytest.mark.parametrize("spelled", ["aiMessages", "AI_MESSAGES", "ai-messages"])
async def test_a_feature_is_found_however_it_is_spelled(spelled: str, gql: Gql, make: People) -> None:
    assert (await why(gql, await make.person(), spelled))["feature"] == "aiMessages"


@pytest.mark.parametrize(
    ("who", "code", "word"),
    [
        ("nobody", "UNAUTHENTICATED", "not signed in"),
        ("uninvited", "INVITE_REQUIRED", "invite"),
        ("disabled", "ACCOUNT_DISABLED", "disabled"),
        ("deleted", "ACCOUNT_DISABLED", "deleted"),
        ("deleted at the provider", "ACCOUNT_DISABLED", "deleted"),
    ],
)
async def test_a_guard_says_what_the_explanation_says(
    who: str, code: str, word: str, gql: Gql, make: People, database: Database
) -> None:
    states: dict[str, dict[str, Any]] = {
        "uninvited": {"invited": False},
        "disabled": {"disabled_at": LONG_AGO},
        "deleted": {"deleted_at": LONG_AGO},
    }
    person = None if who == "nobody" else await make.person(**states.get(who, {}))
    if person and who == "deleted at the provider":
        async with database.transaction() as session:
            await accounts.delete_identity(session, ISSUERS["clerk"], person.subject)
    before = await stored(database)
    refused = await gql(person, 'mutation { createPortfolio(input: {name: "x"}) { quota { used } } }')
    assert await stored(database) == before
    found = await why(gql, person, "portfolios")
    assert (refused.code, refused.errors[0]["message"]) == (found["code"], found["message"])
    assert found["code"] == code
    assert word in found["message"]


async def test_the_explanation_is_what_the_refusal_says(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await use(database, person, "aiMessages", 100)
    error = await refusal(database, await standing(database, person), "aiMessages")
    found = await why(gql, person, "aiMessages")
    assert (found["code"], found["message"]) == (error.code, error.message)
    assert error.details == {"feature": "aiMessages", "tier": "free", "remedies": found["remedies"]} | {
        key: found["quota"][key] for key in ("limit", "used", "remaining", "resetsAt")
    }
    assert failed(found) == ["QUOTA"]
    assert [remedy["kind"] for remedy in found["remedies"]] == ["UPGRADE", "WAIT"]


async def test_an_upgrade_flips_the_answer(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await use(database, person, "portfolios", 2)
    refused = await why(gql, person, "portfolios")
    assert [(remedy["kind"], remedy["tier"]) for remedy in refused["remedies"]] == [
        ("UPGRADE", "paid"),
        ("DELETE", None),
    ]
    await standing(database, person, tier=refused["remedies"][0]["tier"])
    found = await why(gql, person, "portfolios")
    assert (found["allowed"], found["message"]) == (True, "You have 2 of 10 portfolios.")


async def test_waiting_flips_the_answer_at_the_very_moment(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await use(database, person, "aiMessages", 100)
    assert (await why(gql, person, "aiMessages"))["allowed"] is False
    reset = resets_at(PLANS.features["aiMessages"], clock.now())
    assert reset is not None
    clock.move(reset - clock.now())
    later = replace(person, token=make.token(person.subject))
    found = await why(gql, later, "aiMessages")
    assert (found["allowed"], found["quota"]["used"], found["quota"]["remaining"]) == (True, 0, 100)


async def test_a_grant_counts_while_it_lasts(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await use(database, person, "aiMessages", 110)
    ends = clock.now() + timedelta(minutes=30)
    async with database.transaction() as session:
        await tiers.grant(session, PLANS, person.user_id, "ai_messages", extra=20, until=ends, note=None)
    assert (await why(gql, person, "aiMessages"))["quota"]["remaining"] == 10
    clock.move(timedelta(minutes=30))
    found = await why(gql, person, "aiMessages")
    assert failed(found) == ["OVERRIDE", "QUOTA"]
    actor = await standing(database, person, overrides=(Override("aiMessages", 20, ends),))
    assert (await refusal(database, actor, "aiMessages")).message == found["message"]


async def test_who_is_not_let_in_sees_the_quota_and_the_way_in(gql: Gql, make: People) -> None:
    found = await why(gql, await make.person(invited=False), "aiMessages")
    assert (found["code"], failed(found), found["quota"]["remaining"]) == ("INVITE_REQUIRED", ["INVITE"], 100)
    assert [remedy["kind"] for remedy in found["remedies"]] == ["USE_INVITE"]


async def test_me_has_all_of_them_and_its_plan(gql: Gql, make: People) -> None:
    person = await make.person(tier="PRO")
    answer = await gql(person, f"{{ me {{ entitlements {ANSWER} }} }}")
    each = [await why(gql, person, feature) for feature in FEATURES]
    assert answer.data["me"]["entitlements"] == each
    answer = await gql(person, "{ me { tier plan { tier title limits { feature limit } } } }")
    assert (answer.data["me"]["tier"], answer.data["me"]["plan"]["tier"]) == ("PRO", "paid")
    assert answer.data["me"]["plan"]["limits"][1] == {"feature": "aiMessages", "limit": 1000}


async def test_me_with_everything_reads_usage_once(gql: Gql, make: People, statements: list[str]) -> None:
    person = await make.person()
    statements.clear()
    answer = await gql(
        person,
        f"""{{
          me {{
            plan {{ tier limits {{ limit }} }}
            limits {{ maxPortfolios maxAiMessages aiMessagesUsed aiMessagesRemaining aiMessagesResetAt }}
            usage {{ scansToday scansThisMonth scansTotal aiMessages {{ used }} portfolios {{ used }} }}
            entitlements {ANSWER}
            trial {{ active }}
          }}
          usage {{ scansTotal }}
          entitlement(feature: "scans") {ANSWER}
        }}""",
    )
    assert not answer.errors
    # Who it is, with the profile, and what is used.
    assert len(statements) == 2, statements


def test_the_names_of_the_schema_are_those_of_the_rules() -> None:
    assert [rule.name for rule in EntitlementRule] == [rule.value for rule in Rule]
    assert [kind.name for kind in ShownRemedyKind] == [kind.value for kind in RemedyKind]
    assert [kind.name for kind in FeatureKind] == [kind.upper() for kind in get_args(Kind)]
