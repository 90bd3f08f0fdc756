"""`usage`, `me.usage`, `me.limits`: who may ask, what counts, and the history of days."""

import uuid
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

import clock
from db.session import Database
from domain import usage
from domain.actor import Actor, Standing
from domain.plans import load
from schema.usage import MAX_DAYS
from tests.gql import Gql
from tests.people import People, Person
from tests.refusals import LONG_AGO, stored

PLANS = load(None)
USAGE = "{ usage { scansToday scansThisMonth scansTotal aiMessages { used remaining } portfolios { used remaining } } }"
HISTORY = """query($feature: String!, $days: Int! = 30) {
  usage { history(feature: $feature, days: $days) { date count } }
}"""
LIMITS = "{ me { limits { maxPortfolios maxAiMessages aiMessagesUsed aiMessagesRemaining aiMessagesResetAt } } }"


async def spend(database: Database, person: Person, feature: str, times: int = 1) -> list[uuid.UUID]:
    actor = Actor(person.user_id, Standing("enterprise", None, invited=True), scopes=None)
    paid = [uuid.uuid4() for _ in range(times)]
    async with database.transaction() as session:
        for one in paid:
            await usage.spend(session, PLANS, actor, feature, one)
    return paid


def later(make: People, person: Person, by: timedelta) -> Person:
    """The clock is moved, and the person has a token of that time."""
    clock.move(by)
    return replace(person, token=make.token(person.subject))


async def history(gql: Gql, person: Person, feature: str = "scans", **days: int) -> dict[str, int]:
    answer = await gql(person, HISTORY, feature=feature, **days)
    assert not answer.errors, answer.errors
    return {point["date"]: point["count"] for point in answer.data["usage"]["history"]}


@pytest.mark.parametrize(
    ("who", "code"), [("nobody", "UNAUTHENTICATED"), ("disabled", "ACCOUNT_DISABLED"), ("key", "FORBIDDEN")]
)
@pytest.mark.parametrize("document", [USAGE, '{ usage { history(feature: "scans") { count } } }'])
async def test_usage_is_refused(who: str, code: str, document: str, gql: Gql, make: People, database: Database) -> None:
    askers: dict[str, Any] = {"nobody": None}
    if who == "disabled":
        askers[who] = await make.person(disabled_at=LONG_AGO)
    elif who == "key":
        askers[who] = await make.key(await make.person(), "scans:read", "scans:write")
    before = await stored(database)
    answer = await gql(askers[who], document)
    assert (answer.code, answer.data) == (code, None)
    assert await stored(database) == before


async def test_an_account_that_is_not_let_in_and_a_key_with_the_scope_may_read(gql: Gql, make: People) -> None:
    newcomer = await make.person(invited=False)
    nothing = {"used": 0, "remaining": 100}, {"used": 0, "remaining": 2}
    for who in (newcomer, await make.key(newcomer, "account:read")):
        answer = await gql(who, USAGE)
        assert answer.data["usage"] == {
            "scansToday": 0,
            "scansThisMonth": 0,
            "scansTotal": 0,
            "aiMessages": nothing[0],
            "portfolios": nothing[1],
        }


async def test_today_this_month_and_in_all(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    first_of_month = clock.now().replace(day=1, hour=12) + timedelta(days=32)
    person = later(make, person, first_of_month.replace(day=1) - clock.now())
    await spend(database, person, "scans", 3)
    person = later(make, person, timedelta(days=1))
    await spend(database, person, "scans", 2)

    async def scans(who: Person) -> tuple[int, int, int]:
        found = (await gql(who, USAGE)).data["usage"]
        return found["scansToday"], found["scansThisMonth"], found["scansTotal"]

    assert await scans(person) == (2, 5, 5)
    person = later(make, person, timedelta(days=31))
    assert await scans(person) == (0, 0, 5)
    await spend(database, person, "scans")
    assert await scans(person) == (1, 1, 6)


async def test_what_is_anothers_does_not_count(gql: Gql, make: People, database: Database) -> None:
    await spend(database, await make.person(), "scans", 3)
    person = await make.person()
    assert (await gql(person, USAGE)).data["usage"]["scansTotal"] == 0
    assert set((await history(gql, person)).values()) == {0}


async def test_what_failed_was_not_used(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    first, _ = await spend(database, person, "aiMessages", 2)
    async with database.transaction() as session:
        assert await usage.give_back(session, first)
    assert (await gql(person, USAGE)).data["usage"]["aiMessages"] == {"used": 1, "remaining": 99}
    assert list((await history(gql, person, "aiMessages")).values())[-1] == 1


async def test_history_has_every_day_oldest_first_and_today_last(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await spend(database, person, "scans", 2)
    person = later(make, person, timedelta(days=3))
    await spend(database, person, "scans")
    today = clock.now().date()
    days = [today - timedelta(days=ago) for ago in range(29, -1, -1)]
    found = await history(gql, person)
    assert list(found) == [day.isoformat() for day in days]
    assert {date.fromisoformat(day): count for day, count in found.items() if count} == {days[-4]: 2, today: 1}
    assert await history(gql, person, days=1) == {today.isoformat(): 1}
    assert list((await history(gql, person, days=4)).values()) == [2, 0, 0, 1]
    assert list((await history(gql, person, days=3)).values()) == [0, 0, 1]
    assert set((await history(gql, person, "AI_MESSAGES", days=MAX_DAYS)).values()) == {0}


async def test_histories_that_are_asked_for_together_are_one_statement(
    gql: Gql, make: People, database: Database, statements: list[str]
) -> None:
    person = await make.person()
    await spend(database, person, "scans", 2)
    await spend(database, person, "aiMessages")
    person = later(make, person, timedelta(days=2))
    asked = [(feature, days) for feature in ("scans", "aiMessages", "portfolios") for days in (1, 2, 3, 30)]
    fields = [
        f'h{number}: history(feature: "{feature}", days: {days}) {{ count }}'
        for number, (feature, days) in enumerate(asked)
    ]
    statements.clear()
    answer = await gql(person, f"{{ usage {{ {' '.join(fields)} }} }}")
    assert not answer.errors
    # Who is it, and what was done.
    # Who it is; what is used of the limits; the days.
    assert len(statements) == 3, statements
    found = {one: [point["count"] for point in answer.data["usage"][f"h{at}"]] for at, one in enumerate(asked)}
    assert found["scans", 3] == [2, 0, 0]
    assert found["aiMessages", 3] == [1, 0, 0]
    assert found["scans", 2] == [0, 0]
    assert [len(counts) for counts in found.values()] == [1, 2, 3, 30] * 3
    assert [sum(counts) for counts in found.values()] == [0, 0, 2, 2, 0, 0, 1, 1, 0, 0, 0, 0]


async def test_a_history_costs_as_many_days_as_it_may_have(gql: Gql, make: People) -> None:
    fields = " ".join(f'h{number}: history(feature: "scans", days: 1) {{ count }}' for number in range(60))
    answer = await gql(await make.person(), f"{{ usage {{ {fields} }} }}")
    assert answer.code == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize(
    ("feature", "days", "faults"),
    [
        ("scans", 0, {"days": "1 to 366."}),
        ("scans", -1, {"days": "1 to 366."}),
        ("scans", 367, {"days": "1 to 366."}),
        ("scans", 2**31 - 1, {"days": "1 to 366."}),
        ("gold", 30, {"feature": "One of portfolios, aiMessages, scans, positionImport."}),
        ("", 0, {"feature": "One of portfolios, aiMessages, scans, positionImport.", "days": "1 to 366."}),
    ],
)
async def test_bad_input(feature: str, days: int, faults: dict[str, str], gql: Gql, make: People) -> None:
    answer = await gql(await make.person(), HISTORY, feature=feature, days=days)
    assert (answer.code, answer.fields, answer.data) == ("BAD_USER_INPUT", faults, None)


@pytest.mark.parametrize(
    ("tier", "limits"),
    [
        ("free", (2, 100, 98)),
        ("pro", (10, 1000, 998)),
        ("enterprise", (None, None, None)),
        ("unheard of", (2, 100, 98)),
    ],
)
async def test_limits_are_those_of_the_plan(
    tier: str, limits: tuple[int | None, ...], gql: Gql, make: People, database: Database
) -> None:
    person = await make.person(tier=tier)
    await spend(database, person, "aiMessages", 2)
    found = (await gql(person, LIMITS)).data["me"]["limits"]
    assert (found["maxPortfolios"], found["maxAiMessages"], found["aiMessagesRemaining"]) == limits
    assert found["aiMessagesUsed"] == 2
    next_month = (clock.now().replace(day=1) + timedelta(days=32)).replace(day=1)
    assert found["aiMessagesResetAt"] == f"{next_month:%Y-%m-%d}T00:00:00.000000Z"


async def test_a_downgraded_account_sees_what_it_has(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await spend(database, person, "portfolios", 5)
    answer = await gql(person, USAGE)
    assert answer.data["usage"]["portfolios"] == {"used": 5, "remaining": 0}
