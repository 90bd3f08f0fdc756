"""`updateProfile`: who may not, what it changes and what it refuses."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from db.models import USERNAME_RULE, User
from db.session import Database
from tests.gql import Gql
from tests.people import People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

UPDATE = """mutation($input: UpdateProfileInput!) {
  updateProfile(input: $input) { user { id fullName username } }
}"""

Rows = Callable[..., Awaitable[Sequence[Any]]]


def name() -> str:
    return f"n{uuid.uuid4().hex[:20]}"


async def user_of(rows: Rows, person: Person) -> User:
    [user] = await rows(User, User.id == person.user_id)
    assert isinstance(user, User)
    return user


@pytest.mark.parametrize("who", NOT_A_SESSION)
async def test_refused(who: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    before = await stored(database)
    answer = await gql(asker, UPDATE, input={"fullName": "Mallory", "username": name()})
    assert (answer.status, answer.code, answer.data) == (200, NOT_A_SESSION[who], None)
    assert await stored(database) == before


async def test_name_and_username_without_an_invite(gql: Gql, make: People, rows: Rows) -> None:
    person, username = await make.person(invited=False), name()
    answer = await gql(person, UPDATE, input={"fullName": "Ada 👩🏽‍🚀 Łovelace", "username": username})
    user = answer.data["updateProfile"]["user"]
    assert (user["fullName"], user["username"]) == ("Ada 👩🏽‍🚀 Łovelace", username)
    row = await user_of(rows, person)
    assert (row.full_name, row.username) == ("Ada 👩🏽‍🚀 Łovelace", username)
    assert (row.full_name_source, row.username_source) == ("user", "user")


async def test_only_the_caller_is_changed(gql: Gql, make: People, rows: Rows) -> None:
    person, other = await make.person(), await make.person(full_name="Other")
    await gql(person, UPDATE, input={"fullName": "Ada"})
    assert (await user_of(rows, other)).full_name == "Other"


async def test_what_is_left_out_stays_and_null_clears(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person(full_name="Ada")
    username = name()
    await gql(person, UPDATE, input={"username": username})
    assert (await user_of(rows, person)).full_name == "Ada"
    answer = await gql(person, UPDATE, input={"fullName": None})
    assert answer.data["updateProfile"]["user"]["fullName"] is None
    row = await user_of(rows, person)
    assert (row.full_name, row.username) == (None, username)


async def test_ones_own_username_again(gql: Gql, make: People) -> None:
    person, username = await make.person(), name()
    for _ in range(2):
        answer = await gql(person, UPDATE, input={"username": username})
        assert answer.data["updateProfile"]["user"]["username"] == username


async def test_a_taken_username_changes_nothing_else_either(gql: Gql, make: People, database: Database) -> None:
    person, other = await make.person(), await make.person()
    username = name()
    await gql(other, UPDATE, input={"username": username})
    before = await stored(database)
    answer = await gql(person, UPDATE, input={"fullName": "Ada", "username": username})
    assert (answer.code, answer.data) == ("CONFLICT", None)
    assert username in answer.errors[0]["message"]
    assert await stored(database) == before


async def test_of_parallel_claims_of_a_username_one_wins(gql: Gql, make: People, rows: Rows) -> None:
    people = [await make.person() for _ in range(5)]
    username = name()
    answers = await asyncio.gather(*(gql(person, UPDATE, input={"username": username}) for person in people))
    assert sorted(answer.code or "" for answer in answers) == ["", *["CONFLICT"] * 4]
    [winner] = [person for person, answer in zip(people, answers, strict=True) if not answer.code]
    [row] = await rows(User, User.username == username)
    assert row.id == winner.user_id


async def test_a_username_given_up_is_free_again(gql: Gql, make: People) -> None:
    person, other, username = await make.person(), await make.person(), name()
    await gql(person, UPDATE, input={"username": username})
    await gql(person, UPDATE, input={"username": name()})
    assert not (await gql(other, UPDATE, input={"username": username})).errors


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, {"input": "Something to change: fullName, username or both."}),
        ({"idempotencyKey": "k"}, {"input": "Something to change: fullName, username or both."}),
        *(
            ({"username": username}, {"input.username": USERNAME_RULE})
            for username in (
                None,
                "",
                "a",
                "Ada",
                "-ada",
                "_ada",
                "a" * 31,
                "ada lovelace",
                "ada\n",
                "adä",
                "аda",
                "a.b",
            )
        ),
        ({"fullName": ""}, {"input.fullName": "Not empty."}),
        ({"fullName": " \u3000\t "}, {"input.fullName": "No control characters."}),
        ({"fullName": "a" * 201}, {"input.fullName": "At most 200 characters."}),
        ({"fullName": "Ada\x1b[2J"}, {"input.fullName": "No control characters."}),
        ({"fullName": "Ada\u2028"}, {"input.fullName": "No control characters."}),
        ({"fullName": "Ada\x85"}, {"input.fullName": "No control characters."}),
        ({"fullName": "\u200b\u2060"}, {"input.fullName": "Not empty."}),
        (
            {"fullName": "\x07" * 201, "username": "A", "idempotencyKey": ""},
            {
                "input.fullName": "No control characters.",
                "input.username": USERNAME_RULE,
                "input.idempotencyKey": "1 to 255 characters without control characters.",
            },
        ),
    ],
)
async def test_bad_input(
    given: dict[str, Any], faults: dict[str, str], gql: Gql, make: People, database: Database
) -> None:
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, UPDATE, input=given)
    assert (answer.code, answer.data) == ("BAD_USER_INPUT", None)
    assert answer.fields == faults
    assert await stored(database) == before


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "\udfff\ud800", "x\udc00"])
@pytest.mark.parametrize("field", ["fullName", "username", "idempotencyKey"])
async def test_what_no_database_can_store(text: str, field: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    before = await stored(database)
    body = json.dumps({"query": UPDATE, "variables": {"input": {"fullName": "Ada", field: text}}})
    headers = person.headers | {"Content-Type": "application/json"}
    response = await gql.client.post("/graphql", content=body, headers=headers)
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [fault["path"] for fault in error["extensions"]["fields"]] == [f"input.{field}"]
    assert await stored(database) == before


async def test_the_longest_values_fit(gql: Gql, make: People) -> None:
    person = await make.person()
    username = (name() * 2)[:30]
    answer = await gql(person, UPDATE, input={"fullName": "ä" * 200, "username": username, "idempotencyKey": "k" * 255})
    assert answer.data["updateProfile"]["user"]["fullName"] == "ä" * 200
