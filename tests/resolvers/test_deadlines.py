"""Deadlines as `asyncio.timeout` has them: late blocks end, others are left alone, and who is cancelled stays so."""

import asyncio

import pytest

from resolvers import deadlines
from resolvers.deadlines import Deadlines


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.002)


async def test_what_is_late_ends_and_what_is_not_does_not() -> None:
    all_of_them = Deadlines()
    with all_of_them.within(60):
        with pytest.raises(TimeoutError), all_of_them.within(0.01):
            await asyncio.sleep(60)
        await asyncio.sleep(0.01)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a test runs in a task


async def test_the_outer_one_ends_what_is_inside() -> None:
    all_of_them, reached = Deadlines(), False

    async def work() -> None:
        nonlocal reached
        with all_of_them.within(0.01):
            with all_of_them.within(60):
                await asyncio.sleep(60)
            reached = True

    with pytest.raises(TimeoutError):
        await work()
    assert not reached


async def test_it_may_be_moved() -> None:
    all_of_them, loop = Deadlines(), asyncio.get_running_loop()
    began = loop.time()

    async def work(seconds: float, at: float, lasts: float) -> None:
        with all_of_them.within(seconds) as deadline:
            deadline.at = at
            await asyncio.sleep(lasts)

    with pytest.raises(TimeoutError):
        await work(60, began + 0.02, 60)
    await work(0.01, began + 60, 0.05)


async def test_an_error_of_the_block_is_its_own() -> None:
    all_of_them = Deadlines()

    async def work() -> None:
        with all_of_them.within(0.01):
            try:
                await asyncio.sleep(60)
            finally:
                raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        await work()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a test runs in a task


async def test_who_is_cancelled_by_others_stays_cancelled() -> None:
    all_of_them, late = Deadlines(), asyncio.Event()

    async def work() -> None:
        with all_of_them.within(0.01):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                late.set()
                await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await late.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_is_left_to_look_at() -> None:
    all_of_them = Deadlines()
    for _ in range(3):
        with all_of_them.within(60):
            pass
        await asyncio.sleep(0.01)
        assert not all_of_them.running
        assert all_of_them.loop is None


async def test_loops_of_several_threads_do_not_take_each_others_tasks() -> None:
    all_of_them = Deadlines()

    async def late() -> str:
        try:
            with all_of_them.within(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            return "late"
        return "never looked at"

    with all_of_them.within(60):
        assert await asyncio.to_thread(asyncio.run, late()) == "late"
