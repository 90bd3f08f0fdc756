"""Look-ups together: who waits for whom, what they get, and that one's fault is nobody else's."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

import errors
from db.batches import Batches


class Reading:
    """A source that answers when it is told to, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        self.gates: list[asyncio.Future[None]] = []
        self.batches: Batches[str, str, str] = Batches(self.read, most=3)

    async def read(self, kind: str, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append((kind, list(keys)))
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        number = len(self.gates)
        await gate
        if "poison" in keys:
            raise ValueError("poison")
        return {key: f"{key} of {number}" for key in keys if key != "nobody"}

    def get(self, key: str, kind: str = "k") -> "asyncio.Task[str | None]":
        return asyncio.create_task(self.batches.get(kind, key))

    @property
    def idle(self) -> bool:
        return not self.batches._queues and not self.batches._running


async def meanwhile(reading: Reading, *keys: str) -> "tuple[asyncio.Task[str | None], list[asyncio.Task[str | None]]]":
    """`a`, which is being read, and who waits for that to end."""
    first = reading.get("a")
    await settle()
    waiting = [reading.get(key) for key in keys]
    await settle()
    return first, waiting


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.batches.PATIENCE_SECONDS", 60)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("patient")
async def test_alone_it_is_read_at_once_and_by_itself() -> None:
    reading = Reading()
    one = reading.get("a")
    await settle()
    assert reading.asked == [("k", ["a"])]
    reading.gates[0].set_result(None)
    assert await one == "a of 1"
    assert reading.idle


@pytest.mark.usefixtures("patient")
async def test_who_comes_meanwhile_is_read_together_and_afterwards() -> None:
    reading = Reading()
    # The first one's answer may be older than what whoever asks now has written.
    first, others = await meanwhile(reading, "a", "b", "b", "nobody")
    assert reading.asked == [("k", ["a"])]
    reading.gates[0].set_result(None)
    assert await first == "a of 1"
    await settle()
    assert reading.asked[1:] == [("k", ["a", "b", "nobody"])]
    reading.gates[1].set_result(None)
    assert [await other for other in others] == ["a of 2", "b of 2", "b of 2", None]
    await settle()
    assert reading.idle


@pytest.mark.usefixtures("patient")
async def test_not_more_than_the_most_in_one_statement() -> None:
    reading = Reading()
    first, others = await meanwhile(reading, *"bcdef")
    reading.gates[0].set_result(None)
    await settle()
    assert reading.asked[1:] == [("k", ["b", "c", "d"]), ("k", ["e", "f"])]
    for gate in reading.gates[1:]:
        gate.set_result(None)
    assert [await one for one in (first, *others)] == ["a of 1", "b of 2", "c of 2", "d of 2", "e of 3", "f of 3"]
    await settle()
    assert reading.idle


@pytest.mark.usefixtures("patient")
async def test_other_kinds_do_not_wait() -> None:
    reading = Reading()
    one, other = reading.get("a"), reading.get("a", "other")
    await settle()
    assert reading.asked == [("k", ["a"]), ("other", ["a"])]
    for gate in reading.gates:
        gate.set_result(None)
    assert [await one, await other] == ["a of 1", "a of 2"]


async def test_nobody_waits_long_for_one_that_hangs() -> None:
    reading = Reading()
    hanging = reading.get("a")
    await settle()
    for number in range(1, 4):
        other = reading.get("b")
        async with asyncio.timeout(5):
            while len(reading.gates) <= number:  # noqa: ASYNC110 - the source has no event for this
                await asyncio.sleep(0.001)
        reading.gates[number].set_result(None)
        assert await other == f"b of {number + 1}"
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    await settle()
    assert reading.idle


@pytest.mark.usefixtures("patient")
async def test_ones_fault_is_only_its_own() -> None:
    reading = Reading()
    first, others = await meanwhile(reading, "b", "poison")
    reading.gates[0].set_result(None)
    await settle()
    reading.gates[1].set_result(None)
    await settle()
    assert reading.asked[2:] == [("k", ["b"]), ("k", ["poison"])]
    for gate in reading.gates[2:]:
        gate.set_result(None)
    assert await first == "a of 1"
    assert await others[0] == "b of 3"
    with pytest.raises(ValueError, match="poison"):
        await others[1]
    assert reading.idle


@pytest.mark.usefixtures("patient")
async def test_where_nothing_can_be_read_nobody_tries_again() -> None:
    reading = Reading()
    first, others = await meanwhile(reading, "b", "c")
    reading.gates[0].set_result(None)
    await settle()
    reading.gates[1].set_exception(errors.ServiceUnavailable("out of reach"))
    assert await first == "a of 1"
    for other in others:
        with pytest.raises(errors.ServiceUnavailable):
            await other
    assert len(reading.asked) == 2


@pytest.mark.usefixtures("patient")
async def test_cancelled_ones_are_not_read_and_leave_nothing_behind() -> None:
    reading = Reading()
    first = reading.get("a")
    await settle()
    gone, also_gone, stays = reading.get("b"), reading.get("c"), reading.get("b")
    await settle()
    gone.cancel()
    also_gone.cancel()
    await settle()
    # Who reads alone is cancelled as well: those who waited for it are read.
    first.cancel()
    await settle()
    assert reading.asked[1:] == [("k", ["b"])]
    reading.gates[1].set_result(None)
    assert await stays == "b of 2"
    await settle()
    assert reading.idle
    last = reading.get("a")
    await settle()
    waits = reading.get("b")
    await settle()
    waits.cancel()
    await settle()
    reading.gates[2].set_result(None)
    assert await last == "a of 3"
    assert reading.idle


@pytest.mark.usefixtures("patient")
async def test_what_nobody_waits_for_any_more_is_stopped() -> None:
    reading = Reading()
    first, others = await meanwhile(reading, *"bc")
    reading.gates[0].set_result(None)
    await first
    await settle()
    others[0].cancel()
    await settle()
    assert not reading.gates[1].done()
    others[1].cancel()
    await settle()
    assert reading.gates[1].cancelled()
    assert reading.idle


@pytest.mark.usefixtures("patient")
async def test_closing_stops_what_is_read() -> None:
    reading = Reading()
    first = reading.get("a")
    await settle()
    other = reading.get("b")
    await settle()
    reading.gates[0].set_result(None)
    await first
    await settle()
    await reading.batches.aclose()
    assert reading.gates[1].cancelled()
    with pytest.raises(asyncio.CancelledError):
        await other
    assert reading.idle


async def test_patience_counts_from_the_beginning_of_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.batches.PATIENCE_SECONDS", 0.05)
    reading = Reading()
    first = reading.get("a")
    await asyncio.sleep(0.06)
    other = reading.get("b")
    await asyncio.sleep(0.01)
    assert reading.asked == [("k", ["a"]), ("k", ["b"])]
    for gate in reading.gates:
        gate.set_result(None)
    await asyncio.gather(first, other)


@pytest.mark.usefixtures("patient")
async def test_who_takes_long_is_read_alone_until_that_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, slow = Reading(), 0.05
    monkeypatch.setattr("db.batches.SLOW_SECONDS", slow)

    async def both(*, lasting: float) -> None:
        """`heavy` and `b`, while `a` is read, which ends first."""
        reading.asked.clear()
        reading.gates.clear()
        tasks = [reading.get("a")]
        await settle()
        tasks += [reading.get("heavy"), reading.get("b")]
        await settle()
        gates = list(reading.gates)
        gates[0].set_result(None)
        await settle()
        await asyncio.sleep(lasting)
        for gate in reading.gates[1:]:
            gate.set_result(None)
        await asyncio.gather(*tasks)

    await both(lasting=2 * slow)
    assert reading.asked == [("k", ["a"]), ("k", ["heavy", "b"])]
    await both(lasting=0)
    # Which of the two it was, nobody knows: each is read alone once.
    assert reading.asked == [("k", ["a"]), ("k", ["heavy"]), ("k", ["b"])]
    await both(lasting=0)
    assert reading.asked == [("k", ["a"]), ("k", ["heavy", "b"])]
    assert not reading.batches._slow


@pytest.mark.usefixtures("patient")
async def test_few_of_the_slow_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.batches.SLOW_SECONDS", -1)
    monkeypatch.setattr("db.batches.MOST_SLOW", 3)
    reading = Reading()
    for key in "abcdef":
        task = reading.get(key)
        await settle()
        reading.gates[-1].set_result(None)
        await task
    assert list(reading.batches._slow) == ["d", "e", "f"]
