"""The caller's own account: who may not see it, each field, the trial, and what its relation costs."""

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert
from uuid_utils.compat import uuid7

import clock
from db.models import ApiKey, User
from db.session import Database
from sealing import Sealer
from settings import Settings
from tests.gql import Gql
from tests.people import People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

ME = "{ me { id email fullName username imageUrl tier inviteValidated createdAt } }"
TRIAL = "{ me { trial { endsAt daysRemaining active } } }"
KEYS = "{ me { apiKeys { id name prefix scopes createdAt lastUsedAt expiresAt revokedAt } } }"
SECRETS = "{ me { apiKeys { name secret } } }"

DAY = timedelta(days=1)
Rows = Callable[..., Awaitable[Sequence[Any]]]


async def keys_of(database: Database, owner: Person, count: int, **columns: Any) -> list[UUID]:
    """Keys of somebody, each made a second after the one before."""
    ids: list[UUID] = [uuid7() for _ in range(count)]
    rows = [
        {"id": key, "user_id": owner.user_id, "name": str(n), "prefix": "iq_abcd", "digest": key.bytes * 2}
        | {"scopes": ["scans:read"], "created_at": clock.now() + timedelta(seconds=n)}
        | columns
        for n, key in enumerate(ids)
    ]
    async with database.transaction() as session:
        await session.execute(insert(ApiKey), rows)
    return ids


@pytest.mark.parametrize("who", [who for who in NOT_A_SESSION if who != "key"])
async def test_me_is_nobody_elses(who: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    before = await stored(database)
    answer = await gql(asker, ME)
    assert (answer.status, answer.code, answer.data) == (200, NOT_A_SESSION[who], {"me": None})
    assert await stored(database) == before


@pytest.mark.parametrize("scopes", [("scans:read",), ("scans:read", "scans:write")])
async def test_me_by_a_key_without_the_scope(scopes: tuple[str, ...], gql: Gql, make: People) -> None:
    answer = await gql(await make.key(await make.person(), *scopes), ME)
    assert (answer.code, answer.data) == ("FORBIDDEN", {"me": None})
    assert "account:read" in answer.errors[0]["message"]


async def test_me_by_a_key_with_the_scope(gql: Gql, make: People) -> None:
    person = await make.person()
    by_key = await gql(await make.key(person, "account:read"), ME)
    assert by_key.body == (await gql(person, ME)).body
    assert not by_key.errors


async def test_me_needs_no_invite(gql: Gql, make: People) -> None:
    answer = await gql(await make.person(invited=False), ME)
    assert answer.data["me"]["inviteValidated"] is False


async def test_every_field_says_what_is_stored(gql: Gql, make: People) -> None:
    at = datetime(2026, 11, 20, 14, 5, 6, tzinfo=UTC)
    state: dict[str, Any] = {
        "email": "ada@example.test",
        "full_name": "Ada Lovelace",
        "image_url": "https://img.example.test/ada.png",
        "tier": "of-tomorrow",
        "created_at": at,
    }
    person = await make.person(**state)
    me = (await gql(person, ME)).data["me"]
    assert me.pop("id").isascii()
    assert re.fullmatch("user-[0-9a-f]{8}", me.pop("username"))
    assert me == {
        "email": "ada@example.test",
        "fullName": "Ada Lovelace",
        "imageUrl": "https://img.example.test/ada.png",
        "tier": "of-tomorrow",
        "inviteValidated": True,
        "createdAt": "2026-11-20T14:05:06.000000Z",
    }


async def test_a_new_account(gql: Gql, make: People) -> None:
    subject = make.subject()
    token = make.token(subject, kind="oidc", email=f"{subject}@example.test", full_name="Ada", username=subject[-20:])
    me = (await gql({"Authorization": f"Bearer {token}"}, ME)).data["me"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", me["createdAt"])
    del me["id"], me["createdAt"]
    assert me == {
        "email": f"{subject}@example.test",
        "fullName": "Ada",
        "username": subject[-20:],
        "imageUrl": None,
        "tier": "free",
        "inviteValidated": False,
    }


@pytest.mark.parametrize(
    ("left", "days", "active"),
    [
        (30 * DAY, 30, True),
        (29 * DAY + timedelta(hours=1), 30, True),
        (timedelta(minutes=1), 1, True),
        (timedelta(seconds=-1), 0, False),
        (-40 * DAY, 0, False),
    ],
)
async def test_trial(left: timedelta, days: int, active: bool, gql: Gql, make: People) -> None:
    ends_at = clock.now() + left
    person = await make.person(trial_ends_at=ends_at)
    assert (await gql(person, TRIAL)).data["me"]["trial"] == {
        "endsAt": ends_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "daysRemaining": days,
        "active": active,
    }


async def test_the_trial_of_a_new_account_lasts_thirty_days(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    [user] = await rows(User, User.id == person.user_id)
    assert user.trial_ends_at - user.created_at == 30 * DAY
    clock.move(29 * DAY)
    later = {"Authorization": f"Bearer {make.token(person.subject)}"}
    assert (await gql(later, TRIAL)).data["me"]["trial"]["daysRemaining"] == 1
    clock.move(DAY)
    later = {"Authorization": f"Bearer {make.token(person.subject)}"}
    assert (await gql(later, TRIAL)).data["me"]["trial"]["active"] is False


async def test_api_keys_are_the_callers_own(gql: Gql, make: People, database: Database) -> None:
    person, other = await make.person(), await make.person()
    await keys_of(database, other, 3)
    assert [key["name"] for key in (await gql(person, KEYS)).data["me"]["apiKeys"]] == ["Default"]


async def test_api_keys_working_ones_first_newest_first(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await keys_of(database, person, 2, name="gone", revoked_at=clock.now())
    await keys_of(database, person, 2)
    names = [key["name"] for key in (await gql(person, KEYS)).data["me"]["apiKeys"]]
    assert names == ["1", "0", "Default", "gone", "gone"]


async def test_api_keys_are_a_hundred_at_most(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    await keys_of(database, person, 120, revoked_at=clock.now())
    keys = (await gql(person, KEYS)).data["me"]["apiKeys"]
    assert len(keys) == 100
    assert keys[0]["name"] == "Default"


@pytest.mark.parametrize("document", [KEYS, SECRETS])
async def test_api_keys_cost_the_same_for_1_and_25(
    document: str, gql: Gql, make: People, database: Database, settings: Settings, statements: list[str]
) -> None:
    key = settings.api_key_encryption_key
    sealed = Sealer(key.get_secret_value()).seal("iq_", "another row") if key else None
    few, many = await make.person(), await make.person()
    await keys_of(database, many, 24, sealed=sealed)

    async def cost(who: Person) -> int:
        statements.clear()
        assert not (await gql(who, document)).errors
        return len(statements)

    # The account with its fields, its keys.
    assert await cost(few) == await cost(many) == 2


async def test_two_selections_of_me_load_their_keys_once(gql: Gql, make: People, statements: list[str]) -> None:
    person = await make.person()
    statements.clear()
    answer = await gql(person, "{ a: me { apiKeys { id } } b: me { apiKeys { id } } }")
    assert answer.data["a"] == answer.data["b"]
    assert sum("api_keys" in statement for statement in statements) == 1
