"""Turns: however much one account asks for at once, it leaves the pool to the others, and everything gets done."""

import asyncio
import uuid
from typing import Any

import pytest

from db import queries
from db.session import Database
from resolvers.mutation import WRITES_AT_ONCE
from resolvers.turns import Turns
from tests.gql import Gql
from tests.people import People

UPDATE = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { user { fullName } } }"


async def test_one_account_at_its_own_lock_leaves_connections_to_others(
    gql: Gql, make: People, database: Database
) -> None:
    person, other = await make.person(), await make.person()
    transactions: Any = database._transactions
    pool = transactions._pool
    async with database.transaction() as session:
        await queries.accounts.user_for_update(session, person.user_id)
        waiting = [asyncio.create_task(gql(person, UPDATE, input={"fullName": f"N{number}"})) for number in range(60)]
        # Each looks its account up first, which is a read and needs no turn.
        for _ in range(100):
            if pool.taken == 1 + WRITES_AT_ONCE:
                break
            await asyncio.sleep(0.1)
        assert pool.taken == 1 + WRITES_AT_ONCE
        for _ in range(5):
            assert not (await gql(other, UPDATE, input={"fullName": "Other"})).errors
        assert not any(task.done() for task in waiting)
    assert not [answer.errors for answer in await asyncio.gather(*waiting) if answer.errors]


async def test_a_turn_is_given_on_whatever_became_of_it() -> None:
    turns, account = Turns(1), uuid.uuid4()
    order: list[str] = []

    async def take(name: str, *, fail: bool = False) -> None:
        async with turns.of(account):
            order.append(name)
            await asyncio.sleep(0.01)
            if fail:
                raise ValueError(name)

    tasks = [asyncio.create_task(take(name, fail=name == "second")) for name in ("first", "second", "third", "fourth")]
    await asyncio.sleep(0)
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ValueError, asyncio.CancelledError, type(None)]
    assert order == ["first", "second", "fourth"]
    assert turns._queues == {}


@pytest.mark.parametrize("at_once", [1, 3])
async def test_accounts_do_not_wait_for_each_other(at_once: int) -> None:
    turns = Turns(at_once)
    inside = 0

    async def take(account: uuid.UUID) -> int:
        nonlocal inside
        async with turns.of(account):
            inside += 1
            most = inside
            await asyncio.sleep(0.01)
            inside -= 1
            return most

    accounts = [uuid.uuid4() for _ in range(5)]
    most = await asyncio.gather(*(take(account) for account in accounts for _ in range(4)))
    assert max(most) == 5 * at_once
