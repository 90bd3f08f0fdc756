"""`rotateApiKey`: who may not, the overlap, and what the successor takes over."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

import clock
from db.models import SCOPES, ApiKey
from db.session import Database
from domain.api_keys import MAX_LIVE
from tests.gql import Gql
from tests.people import KeyBearer, People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

ROTATE = """mutation($input: RotateApiKeyInput!) {
  rotateApiKey(input: $input) { secret apiKey { id name scopes expiresAt revokedAt } }
}"""
CREATE = """mutation($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { secret apiKey { id expiresAt } }
}"""
ME = "{ me { id } }"

HOUR = timedelta(hours=1)
Rows = Callable[..., Awaitable[Sequence[Any]]]


async def new_key(gql: Gql, person: Person, **given: Any) -> tuple[str, KeyBearer]:
    """Global id and bearer of a new key."""
    answer = await gql(person, CREATE, input={"name": "ci", "scopes": ["account:read"], **given})
    made = answer.data["createApiKey"]
    return made["apiKey"]["id"], KeyBearer(made["secret"])


async def works(gql: Gql, key: KeyBearer) -> bool:
    answer = await gql(key, ME)
    assert answer.status in (200, 401)
    return answer.status == 200


@pytest.mark.parametrize("who", NOT_A_SESSION)
async def test_refused(who: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    key, _ = await new_key(gql, await make.person())
    before = await stored(database)
    answer = await gql(asker, ROTATE, input={"id": key})
    assert (answer.status, answer.code, answer.data) == (200, NOT_A_SESSION[who], None)
    assert await stored(database) == before


async def test_anothers_key_is_not_found(gql: Gql, make: People, database: Database) -> None:
    key, bearer = await new_key(gql, await make.person())
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, ROTATE, input={"id": key, "overlapSeconds": 0})
    assert (answer.code, answer.data) == ("NOT_FOUND", None)
    assert await stored(database) == before
    assert await works(gql, bearer)


async def test_the_old_key_works_on_for_the_overlap(gql: Gql, make: People) -> None:
    person = await make.person()
    key, old = await new_key(gql, person)
    made = (await gql(person, ROTATE, input={"id": key, "overlapSeconds": 3600})).data["rotateApiKey"]
    new = KeyBearer(made["secret"])
    assert made["apiKey"]["id"] != key
    taken_over = {"name": "ci", "scopes": ["account:read"], "expiresAt": None, "revokedAt": None}
    assert made["apiKey"] == taken_over | {"id": made["apiKey"]["id"]}
    assert await works(gql, old)
    assert await works(gql, new)
    clock.move(HOUR)
    assert not await works(gql, old)
    assert await works(gql, new)


async def test_the_overlap_is_a_day_unless_said_otherwise(gql: Gql, make: People) -> None:
    person = await make.person()
    key, old = await new_key(gql, person)
    assert not (await gql(person, ROTATE, input={"id": key})).errors
    clock.move(24 * HOUR - timedelta(minutes=1))
    assert await works(gql, old)
    clock.move(timedelta(minutes=1))
    assert not await works(gql, old)


async def test_without_overlap_the_old_key_stops_at_once(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    key, old = await new_key(gql, person)
    made = (await gql(person, ROTATE, input={"id": key, "overlapSeconds": 0})).data["rotateApiKey"]
    assert not await works(gql, old)
    assert await works(gql, KeyBearer(made["secret"]))
    # The default key, the old one, the new one.
    assert [bool(row.revoked_at) for row in await rows(ApiKey, ApiKey.user_id == person.user_id)] == [
        False,
        True,
        False,
    ]


async def test_no_overlap_outlives_the_expiry(gql: Gql, make: People) -> None:
    person, soon = await make.person(), (clock.now() + HOUR).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    key, old = await new_key(gql, person, expiresAt=soon)
    made = (await gql(person, ROTATE, input={"id": key, "overlapSeconds": 604_800})).data["rotateApiKey"]
    assert made["apiKey"]["expiresAt"] == soon
    clock.move(HOUR)
    assert not await works(gql, old)
    assert not await works(gql, KeyBearer(made["secret"]))


@pytest.mark.parametrize("ended", ["revoked", "expired"])
async def test_a_key_that_ended_is_not_rotated(ended: str, gql: Gql, make: People, database: Database) -> None:
    person, soon = await make.person(), (clock.now() + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    key, _ = await new_key(gql, person, expiresAt=soon)
    if ended == "revoked":
        await gql(person, ROTATE, input={"id": key, "overlapSeconds": 0})
    clock.move(timedelta(minutes=5))
    before = await stored(database)
    answer = await gql(person, ROTATE, input={"id": key})
    assert (answer.code, answer.data) == ("CONFLICT", None)
    assert await stored(database) == before


@pytest.mark.parametrize(("overlap", "code"), [(0, None), (60, "CONFLICT")])
async def test_at_the_limit_a_key_makes_room_by_stopping(
    overlap: int, code: str | None, gql: Gql, make: People, rows: Rows
) -> None:
    person = await make.person()
    for _ in range(MAX_LIVE - 2):
        await make.key(person, *SCOPES)
    key, old = await new_key(gql, person)
    answer = await gql(person, ROTATE, input={"id": key, "overlapSeconds": overlap})
    assert answer.code == code
    assert await works(gql, old) == bool(code)
    assert len(await rows(ApiKey, ApiKey.user_id == person.user_id, ApiKey.revoked_at.is_(None))) == MAX_LIVE


async def test_of_twenty_rotations_at_once_without_overlap_one_wins(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    key, _ = await new_key(gql, person)
    requests = (gql(person, ROTATE, input={"id": key, "overlapSeconds": 0}) for _ in range(20))
    answers = await asyncio.gather(*requests)
    assert Counter(answer.code for answer in answers) == {None: 1, "CONFLICT": 19}
    assert len(await rows(ApiKey, ApiKey.user_id == person.user_id)) == 3


@pytest.mark.parametrize("overlap", [-1, 604_801, 2**31, -(2**40), 1.5, "60", None, True])
async def test_overlaps_out_of_range(overlap: Any, gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    key, _ = await new_key(gql, person)
    before = await stored(database)
    answer = await gql(person, ROTATE, input={"id": key, "overlapSeconds": overlap})
    assert (answer.code, answer.data) == ("BAD_USER_INPUT", None)
    assert list(answer.fields) == ["input.overlapSeconds"]
    assert await stored(database) == before


async def test_all_faults_at_once(gql: Gql, make: People) -> None:
    answer = await gql(
        await make.person(), ROTATE, input={"id": "x", "overlapSeconds": -1, "idempotencyKey": "k" * 256}
    )
    assert set(answer.fields) == {"input.id", "input.overlapSeconds", "input.idempotencyKey"}
