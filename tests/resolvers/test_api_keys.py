"""Creating, revoking and revealing API keys. Rotation, and signing in with a key, have files of their own."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

import clock
from db.models import SCOPES, ApiKey
from db.session import Database
from domain.api_keys import MAX_LIVE, digest
from schema import ids
from tests.gql import Gql
from tests.people import KeyBearer, People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

CREATE = """mutation($input: CreateApiKeyInput!) {
  createApiKey(input: $input) {
    secret
    apiKey { id name prefix scopes createdAt lastUsedAt expiresAt revokedAt secret }
  }
}"""
REVOKE = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { apiKey { id revokedAt } } }"
ROTATE = "mutation($input: RotateApiKeyInput!) { rotateApiKey(input: $input) { apiKey { id } } }"
SECRETS = "{ me { apiKeys { id name secret } } }"

ALL = ["account:read", "scans:read", "scans:write"]
A_KEY = ids.encode("ApiKey", UUID(int=2**127 - 1))
BAD_IDS = ["", "x", "%", "ä", A_KEY[:-1], f"{A_KEY}=", f"{A_KEY}A", A_KEY.upper(), str(UUID(int=5)), "A" * 5000]
NO_MOMENTS: list[Any] = [
    *("", "soon", "2027-01-01", "2027-01-01T00:00:00", "2027-13-01T00:00:00Z", "0001-01-01T00:00:00+23:59"),
    *("9" * 41, 5, True, []),
]
DAY = timedelta(days=1)
Rows = Callable[..., Awaitable[Sequence[Any]]]


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def default_key(gql: Gql, person: Person) -> dict[str, Any]:
    """Id and secret of the key that came with the account."""
    [key] = (await gql(person, SECRETS)).data["me"]["apiKeys"]
    assert isinstance(key, dict)
    return key


@pytest.mark.parametrize("who", NOT_A_SESSION)
async def test_creating_is_refused(who: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    before = await stored(database)
    answer = await gql(asker, CREATE, input={"name": "mine", "scopes": ALL})
    assert (answer.status, answer.code, answer.data) == (200, NOT_A_SESSION[who], None)
    assert await stored(database) == before


@pytest.mark.parametrize("who", NOT_A_SESSION)
async def test_revoking_is_refused(who: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    key = await default_key(gql, await make.person())
    before = await stored(database)
    answer = await gql(asker, REVOKE, input={"id": key["id"]})
    assert (answer.code, answer.data) == (NOT_A_SESSION[who], None)
    assert await stored(database) == before


async def test_anothers_key_is_not_found(gql: Gql, make: People, database: Database) -> None:
    key = await default_key(gql, await make.person())
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, REVOKE, input={"id": key["id"]})
    assert (answer.code, answer.data) == ("NOT_FOUND", None)
    assert await stored(database) == before


async def test_a_key_does_not_revoke_itself(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    key = await default_key(gql, person)
    answer = await gql(KeyBearer(key["secret"]), REVOKE, input={"id": key["id"]})
    assert answer.code == "FORBIDDEN"
    assert not (await gql(KeyBearer(key["secret"]), "{ me { id } }")).errors


async def test_a_new_key(gql: Gql, make: People, rows: Rows) -> None:
    person, expires_at = await make.person(invited=False), clock.now() + 30 * DAY
    scopes = ["scans:write", "account:read"]
    answer = await gql(person, CREATE, input={"name": "ci", "scopes": scopes, "expiresAt": iso(expires_at)})
    made = answer.data["createApiKey"]
    assert re.fullmatch("iq_[A-Za-z0-9_-]{43}", made["secret"])
    key = made["apiKey"]
    assert (key["name"], key["scopes"], key["expiresAt"]) == ("ci", scopes, iso(expires_at))
    assert (key["lastUsedAt"], key["revokedAt"]) == (None, None)
    assert key["secret"] == made["secret"]
    assert made["secret"].startswith(key["prefix"])
    assert len(key["prefix"]) <= 8

    [row] = await rows(ApiKey, ApiKey.user_id == person.user_id, ApiKey.name == "ci")
    assert row.digest == digest(made["secret"])
    assert made["secret"].encode() not in row.sealed
    assert (row.scopes, row.expires_at) == (scopes, expires_at)


async def test_what_a_key_may(gql: Gql, make: People) -> None:
    person = await make.person()
    key = await make.key(person, "account:read")
    for headers in (key.headers, {"Authorization": f"Bearer {key.secret}"}):
        assert not (await gql(headers, "{ me { id } }")).errors


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"name": ""}, {"input.name": "Not empty."}),
        ({"name": "a" * 101}, {"input.name": "At most 100 characters."}),
        ({"name": "a\x00b"}, None),
        ({"name": "a\rb"}, {"input.name": "No control characters."}),
        ({"scopes": []}, {"input.scopes": "At least one of account:read, scans:read, scans:write."}),
        ({"scopes": ["keys:write"]}, {"input.scopes.0": "One of account:read, scans:read, scans:write."}),
        ({"scopes": ["scans:read", "SCANS:READ"]}, {"input.scopes.1": "One of account:read, scans:read, scans:write."}),
        ({"scopes": ["scans:read", "scans:read"]}, {"input.scopes": "Each scope once."}),
        ({"expiresAt": "2026-01-01T00:00:00Z"}, {"input.expiresAt": "A moment in the future."}),
        ({"expiresAt": "2099-01-01T00:00:00+02:00"}, {"input.expiresAt": "Within five years, or null."}),
        ({"expiresAt": "9999-12-31T23:59:59Z"}, {"input.expiresAt": "Within five years, or null."}),
        (
            {"name": " ", "scopes": ["x", "scans:read", "y"], "expiresAt": "1970-01-01T00:00:00Z"},
            {
                "input.name": "Not empty.",
                "input.scopes.0": "One of account:read, scans:read, scans:write.",
                "input.scopes.2": "One of account:read, scans:read, scans:write.",
                "input.expiresAt": "A moment in the future.",
            },
        ),
        ({"scopes": ["scans:read"] * 5000}, {"input.scopes": "Each scope once."}),
        *(({"expiresAt": moment}, None) for moment in NO_MOMENTS),
        ({"scopes": "scans:read\ud800"}, None),
        ({"scopes": [None]}, None),
        ({"scopes": None}, None),
        ({"name": None}, None),
        ({"name": 5}, None),
        ({"more": 5}, None),
    ],
)
async def test_bad_input(
    given: dict[str, Any], faults: dict[str, str] | None, gql: Gql, make: People, database: Database
) -> None:
    person = await make.person()
    before = await stored(database)
    body = {"query": CREATE, "variables": {"input": {"name": "ci", "scopes": ["scans:read"], **given}}}
    headers = person.headers | {"Content-Type": "application/json"}
    response = await gql.client.post("/graphql", content=json.dumps(body), headers=headers)
    [error] = response.json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    found = {fault["path"]: fault["message"] for fault in error["extensions"]["fields"]}
    assert found == faults if faults else all(path.startswith("input") for path in found)
    assert found
    assert await stored(database) == before


async def test_twenty_at_once_at_the_limit(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    for _ in range(MAX_LIVE - 4):
        await make.key(person, "scans:read")
    requests = (gql(person, CREATE, input={"name": "more", "scopes": ALL}) for _ in range(20))
    answers = await asyncio.gather(*requests)
    assert Counter(answer.code for answer in answers) == {None: 3, "CONFLICT": 17}
    assert len(await rows(ApiKey, ApiKey.user_id == person.user_id)) == MAX_LIVE


async def test_keys_that_stopped_make_room(gql: Gql, make: People) -> None:
    person = await make.person()
    for _ in range(MAX_LIVE - 2):
        await make.key(person, "scans:read")
    soon = iso(clock.now() + timedelta(minutes=5))
    assert not (await gql(person, CREATE, input={"name": "short", "scopes": ALL, "expiresAt": soon})).errors
    more = {"name": "more", "scopes": ALL}
    assert (await gql(person, CREATE, input=more)).code == "CONFLICT"
    clock.move(timedelta(minutes=5))
    assert not (await gql(person, CREATE, input=more)).errors
    assert (await gql(person, CREATE, input=more)).code == "CONFLICT"
    [first, *_] = (await gql(person, SECRETS)).data["me"]["apiKeys"]
    await gql(person, REVOKE, input={"id": first["id"]})
    assert not (await gql(person, CREATE, input=more)).errors


async def test_revoking_stops_a_key_at_once_and_once(gql: Gql, make: People) -> None:
    person = await make.person()
    key = await default_key(gql, person)
    first = await gql(person, REVOKE, input={"id": key["id"]})
    refused_key = await gql(KeyBearer(key["secret"]), "{ me { id } }")
    assert refused_key.status == 401
    clock.move(timedelta(minutes=1))
    again = await gql(person, REVOKE, input={"id": key["id"]})
    assert first.data == again.data
    assert first.data["revokeApiKey"]["apiKey"]["revokedAt"]


@pytest.mark.parametrize("id", BAD_IDS)
@pytest.mark.parametrize("document", [REVOKE, ROTATE])
async def test_ids_of_no_known_form(document: str, id: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, document, input={"id": id})
    assert (answer.code, answer.fields) == ("BAD_USER_INPUT", {"input.id": "Not an id of this API."})
    assert await stored(database) == before


@pytest.mark.parametrize("type_name", ["ApiKey", "User", "Nothing", "apikey"])
@pytest.mark.parametrize("document", [REVOKE, ROTATE])
async def test_ids_that_lead_nowhere(document: str, type_name: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, document, input={"id": ids.encode(type_name, person.user_id)})
    assert (answer.code, answer.data) == ("NOT_FOUND", None)
    assert await stored(database) == before


async def test_only_a_session_reveals_a_key(gql: Gql, make: People) -> None:
    person = await make.person()
    key = await default_key(gql, person)
    answer = await gql(await make.key(person, *SCOPES), SECRETS)
    assert [error["extensions"]["code"] for error in answer.errors] == ["FORBIDDEN"] * 2
    assert [found["secret"] for found in answer.data["me"]["apiKeys"]] == [None, None]
    assert key["secret"] not in json.dumps(answer.body)


async def test_anothers_key_is_revealed_to_nobody(gql: Gql, make: People) -> None:
    key = await default_key(gql, await make.person())
    document = "query($id: ID!) { node(id: $id) { ... on ApiKey { secret } } }"
    answer = await gql(await make.person(), document, id=key["id"])
    assert (answer.code, answer.data) == ("NOT_FOUND", {"node": None})


async def test_a_key_that_was_not_sealed_or_sealed_otherwise_is_null(
    gql: Gql, make: People, database: Database, rows: Rows
) -> None:
    person = await make.person()
    await make.key(person, "scans:read")
    default, other = await rows(ApiKey, ApiKey.user_id == person.user_id)
    async with database.transaction() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == other.id).values(sealed=default.sealed))
        await session.execute(update(ApiKey).where(ApiKey.id == default.id).values(sealed=None))
    answer = await gql(person, SECRETS)
    assert not answer.errors
    assert [found["secret"] for found in answer.data["me"]["apiKeys"]] == [None, None]
