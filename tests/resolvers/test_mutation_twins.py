"""Requests with one idempotency key at the same time: one effect, one outcome, and nobody else has to wait."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from db import queries
from db.models import ApiKey, IdempotencyRecord, InviteAttempt
from db.session import POOL_SIZE, Database
from resolvers import mutation
from tests.gql import Answer, Gql
from tests.people import People, Person
from tests.refusals import stored

CREATE = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret apiKey { id } } }"
OTHER_SELECTION = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey { name id secret } } }"
UPDATE = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { user { id } } }"
VALIDATE = "mutation($input: ValidateInviteInput!) { validateInvite(input: $input) { user { id } } }"
NEW_KEY = {"name": "ci", "scopes": ["scans:read"], "idempotencyKey": "k"}

Rows = Callable[..., Awaitable[Sequence[Any]]]


def made(answer: Answer) -> tuple[str, str]:
    """Id and secret, whichever selection."""
    payload = answer.data["createApiKey"]
    return payload["apiKey"]["id"], payload.get("secret") or payload["apiKey"]["secret"]


async def test_twenty_twins_are_one(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    documents = [CREATE, OTHER_SELECTION] * 10
    answers = await asyncio.gather(*(gql(person, document, input=NEW_KEY) for document in documents))
    assert Counter(answer.code for answer in answers) == {None: 20}
    assert len({made(answer) for answer in answers}) == 1
    assert len(await rows(ApiKey, ApiKey.user_id == person.user_id)) == 2
    assert len(await rows(IdempotencyRecord, IdempotencyRecord.user_id == person.user_id)) == 1


async def test_of_twins_with_different_inputs_one_wins(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    requests = (gql(person, CREATE, input={**NEW_KEY, "name": str(number)}) for number in range(10))
    answers = await asyncio.gather(*requests)
    assert Counter(answer.code for answer in answers) == {None: 1, "IDEMPOTENCY_KEY_REUSED": 9}
    assert len(await rows(ApiKey, ApiKey.user_id == person.user_id)) == 2


async def test_twins_that_are_refused_try_one_after_the_other(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person(invited=False)
    given = {"code": "wrong", "idempotencyKey": "k"}
    answers = await asyncio.gather(*(gql(person, VALIDATE, input=given) for _ in range(5)))
    assert Counter(answer.code for answer in answers) == {"INVALID_INVITE": 5}
    assert len(await rows(InviteAttempt, InviteAttempt.user_id == person.user_id)) == 5


async def test_the_same_key_of_twenty_callers_at_once(gql: Gql, make: People) -> None:
    people = [await make.person() for _ in range(20)]
    answers = await asyncio.gather(*(gql(person, CREATE, input=NEW_KEY) for person in people))
    assert len({made(answer) for answer in answers}) == 20


class _AtWork:
    """A twin that is at work until told to end, in a transaction of its own."""

    def __init__(self, database: Database, person: Person) -> None:
        self._database, self._person = database, person
        self._over, self._begun = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._work())
        await self._begun.wait()

    async def _work(self) -> None:
        async with self._database.transaction() as session:
            assert await queries.idempotency.claim(session, self._person.user_id, "create_api_key", "k")
            self._begun.set()
            await self._over.wait()

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await self._task


async def test_twins_that_wait_hold_no_connection(gql: Gql, make: People, database: Database, rows: Rows) -> None:
    person, other = await make.person(), await make.person()
    transactions: Any = database._transactions
    pool = transactions._pool
    many = 2 * POOL_SIZE
    async with _AtWork(database, person):
        twins = [asyncio.create_task(gql(person, CREATE, input=NEW_KEY)) for _ in range(many)]
        # Long enough for each of them to have asked once; what is busy then is the one at work and who asks again.
        await asyncio.sleep(0.5)
        held: list[int] = []
        # At some moment nobody asks, and then only the one at work has a connection.
        while 1 not in held and len(held) < 200:
            assert not (await gql(other, "{ me { id } }")).errors
            held.append(pool.taken)
        assert not any(twin.done() for twin in twins)
        assert min(held) == 1
    answers = await asyncio.gather(*twins)
    assert len({made(answer) for answer in answers}) == 1
    assert len(await rows(ApiKey, ApiKey.user_id == person.user_id)) == 2


async def test_a_twin_is_awaited_for_a_bounded_time(
    gql: Gql, make: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await make.person()
    before = await stored(database)
    monkeypatch.setattr(mutation, "TWIN_WAIT_SECONDS", 0.05)
    async with _AtWork(database, person):
        answer = await gql(person, CREATE, input=NEW_KEY)
    assert (answer.code, answer.data) == ("CONFLICT", None)
    assert "same key" in answer.errors[0]["message"]
    assert await stored(database) == before
    assert not (await gql(person, CREATE, input=NEW_KEY)).errors


async def test_nobody_else_is_a_twin(
    gql: Gql, make: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, other = await make.person(), await make.person()
    monkeypatch.setattr(mutation, "TWIN_WAIT_SECONDS", 0)
    async with _AtWork(database, person):
        assert not (await gql(other, CREATE, input=NEW_KEY)).errors
        assert not (await gql(person, CREATE, input=NEW_KEY | {"idempotencyKey": "another"})).errors
        assert not (await gql(person, UPDATE, input={"fullName": "Ada", "idempotencyKey": "k"})).errors


async def test_a_caller_who_left_frees_the_key(gql: Gql, make: People, database: Database, rows: Rows) -> None:
    person = await make.person()
    async with _AtWork(database, person):
        left = asyncio.create_task(gql(person, CREATE, input=NEW_KEY))
        await asyncio.sleep(0.05)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
    assert not (await gql(person, CREATE, input=NEW_KEY)).errors
    assert len(await rows(ApiKey, ApiKey.user_id == person.user_id)) == 2
