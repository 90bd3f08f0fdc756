"""The pool, with connections that only count: turns, cancelled waiters, what is dropped, and closing."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db import pool
from db.pool import Pool


class World:
    """Makes connections that are numbers, and knows which are open."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.numbers = itertools.count(1)
        self.fails = False

    async def connect(self) -> int:
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("refused")
        number = next(self.numbers)
        self.open.add(number)
        return number

    async def disconnect(self, connection: int) -> None:
        await asyncio.sleep(0)
        self.open.remove(connection)

    def pool(self, size: int = 2, wait: float = 5) -> Pool[int]:
        return Pool(size, wait=wait, connect=self.connect, disconnect=self.disconnect)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    assert not world.open


async def test_nobody_gets_one_more_than_there_may_be(world: World) -> None:
    pool = world.pool(2, wait=0.05)
    taken = [await pool.take(), await pool.take()]
    with pytest.raises(TimeoutError):
        await pool.take()
    assert world.open == set(taken)
    for one in taken:
        pool.give(one)
    await pool.close()


async def test_the_last_one_given_back_is_taken_first(world: World) -> None:
    pool = world.pool(3)
    first, second = await pool.take(), await pool.take()
    pool.give(first)
    pool.give(second)
    assert [await pool.take(), await pool.take()] == [second, first]
    pool.give(first)
    pool.give(second)
    assert len(world.open) == 2
    await pool.close()


async def test_who_waits_longest_is_next(world: World) -> None:
    pool = world.pool(1)
    taken = await pool.take()
    order: list[str] = []

    async def use(name: str) -> None:
        connection = await pool.take()
        order.append(name)
        await asyncio.sleep(0)
        pool.give(connection)

    tasks = [asyncio.create_task(use(name)) for name in "abc"]
    await asyncio.sleep(0)
    pool.give(taken)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    await pool.close()


async def test_a_turn_that_comes_as_its_waiter_leaves_goes_on(world: World) -> None:
    pool = world.pool(1)
    taken = await pool.take()
    leaving, staying = asyncio.create_task(pool.take()), asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    pool.give(taken)
    leaving.cancel()
    assert await staying == taken
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    pool.give(taken)
    await pool.close()


async def test_what_is_dropped_makes_room(world: World) -> None:
    pool = world.pool(1)
    taken = await pool.take()
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    pool.drop(taken)
    assert await waiting != taken
    pool.give(waiting.result())
    pool.drop_idle()
    assert await pool.take() not in (taken, waiting.result())
    pool.drop(max(world.open))
    await pool.close()


async def test_a_connection_that_was_not_made_takes_no_room(world: World) -> None:
    pool, world.fails = world.pool(1), True
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            await pool.take()
    waiting = [asyncio.create_task(pool.take()) for _ in range(3)]
    await asyncio.wait(waiting)
    assert all(isinstance(task.exception(), OSError) for task in waiting)
    world.fails = False
    pool.give(await pool.take())
    await pool.close()


async def test_idle_ones_are_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(pool, "_SWEEP_SECONDS", 0.01)
    idle = world.pool(2)
    idle.give(await idle.take())
    for _ in range(100):
        await asyncio.sleep(0.01)
        if not world.open:
            break
    assert not world.open
    idle.give(await idle.take())
    await idle.close()


async def test_closing_waits_for_nobody_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_CLOSE_SECONDS", 0.05)
    hung_up: list[int] = []

    async def never(connection: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            hung_up.append(connection)
            world.open.remove(connection)

    slow: Pool[int] = Pool(2, wait=1, connect=world.connect, disconnect=never)
    slow.give(await slow.take())
    [idle] = world.open
    async with asyncio.timeout(5):
        await slow.close()
    assert hung_up == [idle]


async def test_what_comes_back_after_closing_is_closed(world: World) -> None:
    pool = world.pool(1)
    taken = await pool.take()
    await pool.close()
    assert world.open == {taken}
    pool.give(taken)
    await asyncio.sleep(0.01)


_STEPS = st.lists(st.sampled_from(["take", "give", "drop", "cancel", "drop_idle", "fail", "mend"]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(steps=_STEPS, size=st.integers(1, 3))
async def test_whatever_happens_there_are_never_too_many(steps: list[str], size: int) -> None:
    world = World()
    pool = world.pool(size)
    asked: list[asyncio.Task[int]] = []

    def held() -> list[asyncio.Task[int]]:
        return [task for task in asked if task.done() and not task.cancelled() and not task.exception()]

    async def step(name: str) -> None:
        if name == "take":
            asked.append(asyncio.create_task(pool.take()))
        elif name in ("give", "drop") and held():
            task = held()[0]
            asked.remove(task)
            (pool.give if name == "give" else pool.drop)(task.result())
        elif name == "cancel" and asked:
            asked[-1].cancel()
        elif name == "drop_idle":
            pool.drop_idle()
        elif name in ("fail", "mend"):
            world.fails = name == "fail"

    for name in steps:
        await step(name)
        await asyncio.sleep(0)
        taken = [task.result() for task in held()]
        assert len(taken) == len(set(taken)) <= size
    world.fails = False
    while True:
        await asyncio.sleep(0)
        for task in held():
            asked.remove(task)
            pool.give(task.result())
        asked = [task for task in asked if not task.done()]
        if not asked:
            break
    # Nothing was lost: all of the room is there again.
    async with asyncio.timeout(5):
        whole = [await pool.take() for _ in range(size)]
    for one in whole:
        pool.give(one)
    await pool.close()
    assert not world.open


async def test_one_that_is_not_ready_yet_comes_back_when_it_is(world: World) -> None:
    pool = world.pool(2)
    first, second = await pool.take(), await pool.take()
    pool.give(second)
    ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def wait() -> bool:
        return await ready

    pool.give_when(first, wait())
    assert await pool.take() == second
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    ready.set_result(True)
    assert await waiting == first

    async def never() -> bool:
        return False

    pool.give_when(first, never())
    third = await pool.take()
    assert third not in (first, second)
    for one in (second, third):
        pool.give(one)
    await pool.close()


async def test_an_old_one_is_made_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LIFETIME_SECONDS", 0.0)
    short = world.pool(1)
    first = await short.take()
    await asyncio.sleep(0.01)
    short.give(first)
    second = await short.take()
    assert second != first
    short.drop(second)
    await short.close()


async def test_a_closed_pool_makes_none_and_keeps_nobody_waiting(world: World) -> None:
    pool = world.pool(1)
    taken = await pool.take()
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.close())
    with pytest.raises(ConnectionError):
        await waiting
    await closing
    pool.give(taken)
    with pytest.raises(ConnectionError):
        await pool.take()
    await asyncio.sleep(0.01)


async def test_one_whose_readiness_nobody_can_tell_takes_no_room(world: World) -> None:
    pool = world.pool(1)

    async def fail() -> bool:
        raise ZeroDivisionError

    pool.give_when(await pool.take(), fail())
    [task] = pool._leaving
    with pytest.raises(ZeroDivisionError):
        await task
    pool.give(await pool.take())
    await pool.close()


async def test_who_is_cancelled_as_the_pool_closes_is_cancelled(world: World) -> None:
    pool = world.pool(1)
    taken = await pool.take()
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)  # closing has told the waiter, which has not heard of it yet
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    await closing
    pool.give(taken)
    await asyncio.sleep(0.01)
