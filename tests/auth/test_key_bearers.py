"""Signing in with an API key: which hold, what the others are told, and when their use is written down."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

import clock
from auth import last_use
from auth.last_use import LastUse
from db.models import ApiKey, User
from db.session import Database
from domain.api_keys import digest
from errors import ServiceUnavailable
from tests.gql import Gql
from tests.people import KeyBearer, People
from tests.refusals import LONG_AGO, stored

ME = "{ me { id } }"
Rows = Callable[..., Awaitable[Sequence[Any]]]


async def change(database: Database, key: KeyBearer, **columns: Any) -> None:
    async with database.transaction() as session:
        await session.execute(update(ApiKey).where(ApiKey.digest == digest(key.secret)).values(**columns))


async def row_of(rows: Rows, key: KeyBearer) -> ApiKey:
    [row] = await rows(ApiKey, ApiKey.digest == digest(key.secret))
    assert isinstance(row, ApiKey)
    return row


async def test_bad_keys_are_told_apart_and_nothing_happens(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    expired, revoked, good = [await make.key(person, "account:read") for _ in range(3)]
    await change(database, expired, expires_at=LONG_AGO)
    await change(database, revoked, revoked_at=LONG_AGO)
    unknown = KeyBearer(good.secret[:-1] + ("B" if good.secret[-1] == "A" else "A"))
    before = await stored(database)
    messages = set()
    for key in (expired, revoked, unknown):
        for headers in (key.headers, {"Authorization": f"Bearer {key.secret}"}):
            answer = await gql(headers, ME)
            assert (answer.status, answer.code, answer.data) == (401, "UNAUTHENTICATED", None)
            assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
            assert key.secret not in json.dumps(answer.body)
            messages.add(answer.errors[0]["message"])
    assert len(messages) == 3
    assert await stored(database) == before


@pytest.mark.parametrize(
    "secret", [b"", b" ", b"iq_", b"iq_\xe4\xff", b"iq_" + b"A" * 43, b"A" * 8000, b"'; drop table users; --"]
)
async def test_what_was_never_a_key(secret: bytes, gql: Gql) -> None:
    headers = [(b"X-API-Key", secret), (b"Content-Type", b"application/json")]
    response = await gql.client.post("/graphql", content=b'{"query": "{ __typename }"}', headers=headers)
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_key_stops_the_moment_it_expires(gql: Gql, make: People, database: Database) -> None:
    key = await make.key(await make.person(), "account:read")
    await change(database, key, expires_at=clock.now() + timedelta(hours=2))
    clock.move(timedelta(hours=1, minutes=59))
    assert not (await gql(key, ME)).errors
    clock.move(timedelta(minutes=1))
    assert (await gql(key, ME)).status == 401


@pytest.mark.parametrize("state", ["disabled_at", "deleted_at"])
async def test_the_key_of_an_account_that_is_shut_out(state: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    key = await make.key(person, "account:read")
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == person.user_id).values({state: LONG_AGO}))
    answer = await gql(key, ME)
    assert (answer.code, answer.data) == ("ACCOUNT_DISABLED", {"me": None})


async def test_use_is_written_behind_the_request(gql: Gql, make: People, rows: Rows) -> None:
    key = await make.key(await make.person(), "account:read")
    assert (await row_of(rows, key)).last_used_at is None
    at = clock.now()
    assert not (await gql(key, ME)).errors
    async with asyncio.timeout(5):
        used = await noted(rows, key)
    assert at <= used <= clock.now()


async def noted(rows: Rows, key: KeyBearer) -> datetime:
    while True:
        used = (await row_of(rows, key)).last_used_at
        if used:
            return used
        await asyncio.sleep(0.01)


async def used(service: LastUse, rows: Rows, key: KeyBearer, known: datetime | None) -> datetime | None:
    row = await row_of(rows, key)
    service.note(row.id, known)
    await service.drain()
    return (await row_of(rows, key)).last_used_at


async def test_use_is_written_once_a_minute(
    make: People, database: Database, rows: Rows, statements: list[str]
) -> None:
    service, key = LastUse(database), await make.key(await make.person(), "account:read")
    first = await used(service, rows, key, None)
    clock.move(timedelta(seconds=59))
    statements.clear()
    assert await used(service, rows, key, first) == first
    assert not any(statement.startswith("UPDATE") for statement in statements)
    # Two processes that both know of no use: the database has the last word.
    assert await used(service, rows, key, None) == first
    clock.move(timedelta(seconds=2))
    second = await used(service, rows, key, first)
    assert first
    assert second
    assert second - first >= timedelta(minutes=1)


async def test_many_uses_at_once_are_one_write(
    make: People, database: Database, rows: Rows, statements: list[str]
) -> None:
    service, key = LastUse(database), await make.key(await make.person(), "account:read")
    row = await row_of(rows, key)
    statements.clear()
    for _ in range(100):
        service.note(row.id, None)
    await service.drain()
    assert sum(statement.startswith("UPDATE api_keys") for statement in statements) == 1


async def test_notes_are_bounded_and_lost_without_harm(make: People, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[UUID] = []

    class NoDatabase:
        def transaction(self) -> Any:
            begun.append(UUID(int=0))
            raise ServiceUnavailable("The database is out of reach.")

    monkeypatch.setattr(last_use, "MAX_PENDING", 5)
    service = LastUse(NoDatabase())  # type: ignore[arg-type]  # all it asks for is a transaction
    for number in range(20):
        service.note(UUID(int=number), None)
    await service.drain()
    assert len(begun) == 5
    service.note(UUID(int=0), None)
    await service.drain()
    assert len(begun) == 6
