"""Many who ask at once are looked up in few statements, and each gets what is theirs: `me`, and pages with it."""

import asyncio
from typing import Any

import asyncpg
import pytest
from sqlalchemy import update
from starlette.applications import Starlette

import clock
import errors
from auth.issuers import Kind
from auth.standings import Standings
from db import migrate, queries
from db.models import User
from db.session import Database
from db.url import dsn
from tests.gql import Answer, Gql
from tests.people import People, Person
from tests.refusals import LONG_AGO
from tests.resolvers.conftest import COMPILED
from tests.scanning import told

PEOPLE = (
    """insert into users(id, username, email_verified, invite_validated, full_name_source, username_source, tier,
        trial_ends_at, created_at, updated_at) select gen_random_uuid(), 'u' || n, false, true, 'provider',
        'placeholder', 'free', now(), now(), now() from generate_series(1, 20000) n""",
    """insert into identities(id, issuer, subject, user_id, email_verified, created_at)
        select gen_random_uuid(), 'issuer', row_number() over () - 1, id, false, now() from users""",
    "analyze",
)
CLERK: Kind = "clerk"
SUPABASE: Kind = "supabase"
ME = "{ me { id email portfolioCount usage { scansToday } } }"
PAGE = "{ scans(first: 3) { totalCount edges { node { tool } } } }"


@pytest.fixture
async def people(make: People, gql: Gql) -> list[Person]:
    """Each with as many scans of their own as their place; and every document is known."""
    found = [await make.person(tier="enterprise") for _ in range(8)]
    for place, person in enumerate(found):
        for _ in range(place):
            await told(gql, person, f"tool-{place}")
    for document in (ME, PAGE) * 3:
        await gql(found[0], document)
    return found


def own(place: int, document: str) -> Any:
    if document == PAGE:
        edges = [{"node": {"tool": f"tool-{place}"}}] * min(place, 3)
        return {"scans": {"totalCount": place, "edges": edges}}
    return place


def seen(answer: Answer, document: str) -> Any:
    assert not answer.errors, answer.body
    return answer.data if document == PAGE else answer.data["me"]["usage"]["scansToday"]


@pytest.mark.parametrize("document", [ME, PAGE])
async def test_each_gets_their_own_in_few_statements(
    document: str, people: list[Person], gql: Gql, statements: list[str]
) -> None:
    before = [await gql(person, document) for person in people]
    statements.clear()
    rounds = 10
    answers = await asyncio.gather(*(gql(person, document) for _ in range(rounds) for person in people))
    for number, answer in enumerate(answers):
        place = number % len(people)
        assert answer.data == before[place].data
        assert seen(answer, document) == own(place, document)
    assert not COMPILED or len(statements) <= rounds * len(people) / 2


async def test_one_subject_of_two_issuers_is_two_accounts(make: People, gql: Gql) -> None:
    subject = make.subject()
    bearers = [{"Authorization": f"Bearer {make.token(subject, kind=kind)}"} for kind in (CLERK, SUPABASE)]
    document = "{ me { id } }"
    alone = [(await gql(bearer, document)).data["me"]["id"] for bearer in bearers for _ in range(3)][::3]
    assert alone[0] != alone[1]
    together = await asyncio.gather(*(gql(bearer, document) for _ in range(10) for bearer in bearers))
    assert [answer.data["me"]["id"] for answer in together] == alone * 10


@pytest.mark.parametrize("document", [ME, PAGE])
async def test_who_is_shut_out_is_refused_among_others(
    document: str, people: list[Person], gql: Gql, make: People, database: Database
) -> None:
    disabled, stranger = people[2], {"Authorization": f"Bearer {make.token(make.subject())}"}
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == disabled.user_id).values(disabled_at=LONG_AGO))
    asked = [*people, stranger, stranger, None]
    answers = await asyncio.gather(*(gql(who, document) for who in asked for _ in range(3)))
    for number, answer in enumerate(answers):
        who = asked[number // 3]
        if who is disabled:
            assert answer.code == "ACCOUNT_DISABLED"
        elif who is None:
            assert answer.code == "UNAUTHENTICATED"
        elif who is stranger:  # made by the first of them, at the very moment that the others ask
            assert seen(answer, document) == own(0, document)
        else:
            assert seen(answer, document) == own(number // 3, document)


async def test_what_one_has_written_one_sees_at_once_however_many_ask(people: list[Person], gql: Gql) -> None:
    begun = asyncio.Event()

    async def crowd() -> None:
        while not begun.is_set():
            await asyncio.gather(*(gql(person, PAGE) for person in people[1:]))

    crowds = [asyncio.create_task(crowd()) for _ in range(3)]
    try:
        for number in range(1, 15):
            await told(gql, people[0], "new")
            assert (await gql(people[0], PAGE)).data["scans"]["totalCount"] == number
            assert (await gql(people[0], ME)).data["me"]["usage"]["scansToday"] == number
    finally:
        begun.set()
        await asyncio.gather(*crowds)


@pytest.mark.skipif(not COMPILED, reason="graphql-core leaves coroutines behind that were cancelled before they began")
async def test_a_reader_who_leaves_takes_nobody_along(people: list[Person], gql: Gql) -> None:
    tasks = [asyncio.create_task(gql(person, PAGE)) for person in people * 4]
    await asyncio.sleep(0.002)
    for task in tasks[::3]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    for number, answer in enumerate(answers):
        if isinstance(answer, Answer):
            assert seen(answer, PAGE) == own(number % len(people), PAGE)
        else:
            assert number % 3 == 0
    assert [seen(await gql(person, PAGE), PAGE) for person in people] == [
        own(place, PAGE) for place in range(len(people))
    ]


async def test_filters_of_others_are_not_mixed(people: list[Person], gql: Gql) -> None:
    document = "query($filter: ScanFilter) { scans(first: 2, filter: $filter) { totalCount edges { node { tool } } } }"
    filters: list[dict[str, Any]] = [{"tool": f"tool-{place}"} for place in range(8)] + [{"text": "tool-7"}, {}]
    asked = [(person, given) for person in people for given in filters]
    alone = [(await gql(person, document, filter=given)).data for person, given in asked]
    together = await asyncio.gather(*(gql(person, document, filter=given) for person, given in asked))
    assert [answer.data for answer in together] == alone
    assert len({str(data) for data in alone}) == len(people)


async def test_the_plan_is_kept_however_many_ask(scratch_url: str) -> None:
    """Where Postgres knows its tables it would rather plan anew for each list that is shorter than it expects."""
    await migrate.migrate(scratch_url)
    connection = await asyncpg.connect(dsn(scratch_url))
    try:
        for statement in PEOPLE:
            await connection.execute(statement)
        for needs in (frozenset[str](), frozenset({"usage"}), frozenset({"usage", "portfolio_count"})):
            for most in (1, 6):
                for _ in range(10):
                    asked = [str(number) for number in range(most)]
                    bound = queries.accounts.standings("issuer", asked, clock.now().date(), needs)
                    assert len(await connection.fetch(bound.prepared.sql, *bound.arguments())) == most
        kept = "select generic_plans, custom_plans from pg_prepared_statements where statement like $1"
        assert [tuple(row) for row in await connection.fetch(kept, "%identity_deleted_at%")] == [(15, 5)] * 3
    finally:
        await connection.close()


@pytest.mark.skipif(not COMPILED, reason="only plans have it looked up before")
async def test_when_the_look_up_fails_the_guard_tells_and_does_not_try_again(
    people: list[Person], gql: Gql, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = "{ scans(first: 1) { totalCount } }"
    for _ in range(3):
        assert not (await gql(people[1], document)).errors
    tried: list[object] = []

    async def fail(*asked: object) -> None:
        tried.append(asked)
        raise errors.ServiceUnavailable("The database is out of reach.")

    with monkeypatch.context() as patch:
        patch.setattr(Standings, "of", fail)
        answer = await gql(people[1], document)
    assert [error["extensions"]["code"] for error in answer.errors] == ["SERVICE_UNAVAILABLE"]
    assert len(tried) == 2  # with the page, and without
    assert not (await gql(people[1], document)).errors
