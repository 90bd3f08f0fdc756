"""`validateInvite`: who may not, which codes let in, and the limit on guessing."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

import clock
from db.models import Invite, InviteAttempt, User
from db.session import Database
from domain import invites
from domain.actor import Actor, Standing
from domain.refusal import Refused
from tests.conftest import BETA_CODE
from tests.gql import Answer, Gql
from tests.people import People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

VALIDATE = "mutation($input: ValidateInviteInput!) { validateInvite(input: $input) { user { inviteValidated } } }"
LET_IN = {"validateInvite": {"user": {"inviteValidated": True}}}
WRONG = "wrong code"

Rows = Callable[..., Awaitable[Sequence[Any]]]


async def invite(database: Database, *, max_uses: int = 5, expires_at: Any = None) -> str:
    """A stored code of the test's own."""
    code = f"Code-{uuid.uuid4().hex}"
    async with database.transaction() as session:
        await invites.create(session, code=code, max_uses=max_uses, expires_at=expires_at, note=None)
    return code


async def uses_of(rows: Rows, code: str) -> int:
    [row] = await rows(Invite, Invite.code == code)
    return int(row.uses)


async def failures_of(database: Database, person: Person) -> int:
    attempts = select(func.count()).where(InviteAttempt.user_id == person.user_id, ~InviteAttempt.succeeded)
    async with database.transaction() as session:
        return (await session.execute(attempts)).scalar_one()


async def try_code(gql: Gql, person: Person | dict[str, str], code: str) -> Answer:
    return await gql(person, VALIDATE, input={"code": code})


@pytest.mark.parametrize("who", NOT_A_SESSION)
@pytest.mark.parametrize("code", [BETA_CODE, WRONG])
async def test_refused(who: str, code: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    before = await stored(database)
    answer = await gql(asker, VALIDATE, input={"code": code})
    assert (answer.status, answer.code, answer.data) == (200, NOT_A_SESSION[who], None)
    assert await stored(database) == before


@pytest.mark.parametrize(
    "code",
    [BETA_CODE, BETA_CODE.upper(), f"  {BETA_CODE.lower()}\u3000", "２０２６-founders-beta", "2026-FOUNDERſ-BETA"],
)
async def test_the_beta_code_in_any_spelling(code: str, gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person(invited=False)
    assert (await try_code(gql, person, code)).data == LET_IN
    [user] = await rows(User, User.id == person.user_id)
    assert user.invite_validated
    [attempt] = await rows(InviteAttempt, InviteAttempt.user_id == person.user_id)
    assert (attempt.succeeded, attempt.invite_id) == (True, None)


async def test_a_stored_code_loses_a_use(gql: Gql, make: People, database: Database, rows: Rows) -> None:
    person, code = await make.person(invited=False), await invite(database)
    assert (await try_code(gql, person, f" {code.upper()} ")).data == LET_IN
    [stored_code] = await rows(Invite, Invite.code == code)
    assert stored_code.uses == 1
    [attempt] = await rows(InviteAttempt, InviteAttempt.user_id == person.user_id)
    assert (attempt.succeeded, attempt.invite_id) == (True, stored_code.id)


@pytest.mark.parametrize("again", ["the same", WRONG])
async def test_who_is_in_takes_no_further_use(
    again: str, gql: Gql, make: People, database: Database, rows: Rows
) -> None:
    person, code = await make.person(invited=False), await invite(database)
    await try_code(gql, person, code)
    before = await stored(database)
    answer = await try_code(gql, person, code if again == "the same" else again)
    assert answer.data == LET_IN
    assert await stored(database) == before


async def test_codes_that_do_not_hold_are_told_apart_by_nobody(
    gql: Gql, make: People, database: Database, rows: Rows
) -> None:
    now = clock.now()
    used_up, expiring = await invite(database, max_uses=1), await invite(database, expires_at=now + timedelta(hours=1))
    withdrawn = await invite(database)
    await try_code(gql, await make.person(invited=False), used_up)
    async with database.transaction() as session:
        await invites.withdraw(session, withdrawn)
    clock.move(timedelta(hours=1))
    messages = set()
    for code in (WRONG, used_up, expiring, withdrawn):
        person = await make.person(invited=False)
        answer = await try_code(gql, person, code)
        assert (answer.code, answer.data) == ("INVALID_INVITE", None)
        messages.add(answer.errors[0]["message"])
        [attempt] = await rows(InviteAttempt, InviteAttempt.user_id == person.user_id)
        assert (attempt.succeeded, attempt.invite_id) == (False, None)
        [user] = await rows(User, User.id == person.user_id)
        assert not user.invite_validated
    assert len(messages) == 1
    assert (await uses_of(rows, used_up), await uses_of(rows, expiring), await uses_of(rows, withdrawn)) == (1, 0, 0)


@pytest.mark.parametrize("beta_code", [None, ""])
async def test_without_a_beta_code_nothing_takes_its_place(
    beta_code: str | None, make: People, database: Database
) -> None:
    person = await make.person(invited=False)
    actor = Actor(person.user_id, Standing("free", None, invited=False), scopes=None)
    async with database.transaction() as session:
        outcome = await invites.validate(session, actor, "None", beta_code)
    assert isinstance(outcome, Refused)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "Not empty."),
        (" \u3000", "Not empty."),
        ("a" * 101, "At most 100 characters."),
        ("a\tb", "No control characters."),
        ("a\nb", "No control characters."),
    ],
)
async def test_bad_input_is_no_attempt(code: str, message: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person(invited=False)
    before = await stored(database)
    answer = await try_code(gql, person, code)
    assert (answer.code, answer.fields) == ("BAD_USER_INPUT", {"input.code": message})
    assert await stored(database) == before


@pytest.mark.parametrize("code", ["\0", "2026\0", "\ud83d", "a\udc00b"])
@pytest.mark.parametrize("place", ["variable", "literal"])
async def test_what_no_database_can_store(code: str, place: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person(invited=False)
    before = await stored(database)
    literal = f"mutation {{ validateInvite(input: {{code: {json.dumps(code)}}}) {{ user {{ id }} }} }}"
    body = {"query": literal} if place == "literal" else {"query": VALIDATE, "variables": {"input": {"code": code}}}
    headers = person.headers | {"Content-Type": "application/json"}
    response = await gql.client.post("/graphql", content=json.dumps(body), headers=headers)
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    # A surrogate in a literal stops the parser, before there are arguments.
    assert [fault["path"] for fault in error["extensions"]["fields"]] in (["input.code"], ["query"])
    assert await stored(database) == before


async def test_of_twenty_at_once_as_many_get_in_as_the_code_allows(
    gql: Gql, make: People, database: Database, rows: Rows
) -> None:
    people, code = [await make.person(invited=False) for _ in range(20)], await invite(database, max_uses=3)
    answers = await asyncio.gather(*(try_code(gql, person, code) for person in people))
    assert Counter(answer.code for answer in answers) == {None: 3, "INVALID_INVITE": 17}
    assert await uses_of(rows, code) == 3
    users = await rows(User, User.id.in_([person.user_id for person in people]))
    assert sum(user.invite_validated for user in users) == 3


async def test_one_person_twenty_times_at_once_takes_one_use(
    gql: Gql, make: People, database: Database, rows: Rows
) -> None:
    person, code = await make.person(invited=False), await invite(database, max_uses=5)
    answers = await asyncio.gather(*(try_code(gql, person, code) for _ in range(20)))
    assert [answer.data for answer in answers] == [LET_IN] * 20
    assert await uses_of(rows, code) == 1


async def test_thirty_wrong_codes_at_once_are_ten_attempts(gql: Gql, make: People, database: Database) -> None:
    person = await make.person(invited=False)
    answers = await asyncio.gather(*(try_code(gql, person, f"{WRONG} {n}") for n in range(30)))
    assert Counter(answer.code for answer in answers) == {"INVALID_INVITE": 10, "RATE_LIMITED": 20}
    assert await failures_of(database, person) == 10
    for answer in answers:
        if answer.code == "RATE_LIMITED":
            wait = answer.errors[0]["extensions"]["retryAfter"]
            assert 3590 <= wait <= 3600
            assert answer.headers["Retry-After"] == str(wait)


async def test_the_limit_holds_for_right_codes_and_ends(gql: Gql, make: People, database: Database) -> None:
    person = await make.person(invited=False)
    for _ in range(10):
        assert (await try_code(gql, person, WRONG)).code == "INVALID_INVITE"
    assert (await try_code(gql, person, BETA_CODE)).code == "RATE_LIMITED"
    clock.move(timedelta(minutes=59))
    answer = await try_code(gql, person, BETA_CODE)
    wait = answer.errors[0]["extensions"]["retryAfter"]
    assert 0 < wait <= 60
    assert await failures_of(database, person) == 10
    clock.move(timedelta(seconds=wait))
    later = {"Authorization": f"Bearer {make.token(person.subject)}"}
    assert (await try_code(gql, later, BETA_CODE)).data == LET_IN


async def test_the_limit_is_of_one_person(gql: Gql, make: People) -> None:
    guesser, other = await make.person(invited=False), await make.person(invited=False)
    await asyncio.gather(*(try_code(gql, guesser, WRONG) for _ in range(11)))
    assert (await try_code(gql, other, BETA_CODE)).data == LET_IN


async def test_a_right_code_after_nine_wrong_ones(gql: Gql, make: People) -> None:
    person = await make.person(invited=False)
    for _ in range(9):
        await try_code(gql, person, WRONG)
    assert (await try_code(gql, person, BETA_CODE)).data == LET_IN


async def test_a_code_is_created_once_in_all_spellings(database: Database) -> None:
    code = await invite(database)
    with pytest.raises(Exception, match="exists already"):
        async with database.transaction() as session:
            await invites.create(session, code=f" {code.upper()}", max_uses=1, expires_at=None, note=None)


async def test_a_mutation_sees_what_the_one_before_it_did(gql: Gql, make: People) -> None:
    person = await make.person(invited=False)
    document = """mutation($input: ValidateInviteInput!, $name: UpdateProfileInput!) {
      before: updateProfile(input: $name) { user { inviteValidated } }
      validateInvite(input: $input) { user { inviteValidated } }
      after: updateProfile(input: $name) { user { inviteValidated } }
    }"""
    answer = await gql(person, document, input={"code": BETA_CODE}, name={"fullName": "Ada"})
    states = [answer.data[field]["user"]["inviteValidated"] for field in ("before", "validateInvite", "after")]
    assert states == [False, True, True]
