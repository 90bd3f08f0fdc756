"""Reading: one file of an account at a time, two of all, and none that outlives its place."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db.session import Database
from domain import portfolios_csv
from domain.portfolios_csv import Parsed
from resolvers import reading
from schema import ids
from tests.gql import Gql
from tests.people import People

IMPORT = "mutation($input: ImportPositionsInput!) { importPositions(input: $input) { added } }"


async def read(account: UUID, reader: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    async with reading.turn(account):
        return await reading.in_thread(reader, *arguments, **named)


class Reader:
    """A reader whose files take until they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._go: dict[str, threading.Event] = {}

    def __call__(self, name: str) -> str:
        self.begun.append(name)
        self._go.setdefault(name, threading.Event()).wait(10)
        self.ended.append(name)
        return name.upper()

    def let_go(self, *names: str) -> None:
        for name in names:
            self._go.setdefault(name, threading.Event()).set()

    async def until_begun(self, count: int) -> None:
        for _ in range(500):
            if len(self.begun) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not begin within 5 seconds")


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    yield reader
    reader.let_go(*(f"{who}{number}" for who in "abc" for number in range(10)))


async def test_files_of_one_account_leave_a_place_to_those_of_another(reader: Reader) -> None:
    greedy, other = uuid.uuid4(), uuid.uuid4()
    many = [asyncio.create_task(read(greedy, reader, f"a{number}")) for number in range(5)]
    await reader.until_begun(1)
    reader.let_go("b0")
    assert await asyncio.wait_for(read(other, reader, "b0"), 5) == "B0"
    assert reader.begun == ["a0", "b0"]
    reader.let_go(*(f"a{number}" for number in range(5)))
    assert await asyncio.gather(*many) == [f"A{number}" for number in range(5)]


async def test_no_more_are_read_at_once_however_many_accounts_there_are(reader: Reader) -> None:
    tasks = [asyncio.create_task(read(uuid.uuid4(), reader, f"{who}0")) for who in "abc"]
    await reader.until_begun(reading.AT_ONCE)
    await asyncio.sleep(0.05)
    assert reader.begun == ["a0", "b0"]
    reader.let_go("a0", "b0", "c0")
    assert await asyncio.gather(*tasks) == ["A0", "B0", "C0"]


async def test_who_is_cancelled_keeps_the_place_until_the_thread_has_ended(reader: Reader) -> None:
    account = uuid.uuid4()
    first = asyncio.create_task(read(account, reader, "a0"))
    await reader.until_begun(1)
    first.cancel()
    second = asyncio.create_task(read(account, reader, "a1"))
    await asyncio.sleep(0.05)
    assert not first.done()
    assert reader.begun == ["a0"]
    reader.let_go("a0", "a1")
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == "A1"
    assert reader.ended == ["a0", "a1"]


async def test_what_a_reader_raises_is_raised_and_gives_the_place_on() -> None:
    account = uuid.uuid4()
    for _ in range(3):
        with pytest.raises(ValueError, match="invalid literal"):
            await read(account, int, "x")
    assert await read(account, int, "ff", base=16) == 255


async def test_no_file_is_read_beside_other_faults(gql: Gql, make: People, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def parse(text: str) -> Parsed:
        read.append(text)
        return Parsed()

    monkeypatch.setattr(portfolios_csv, "parse", parse)
    person = await make.person()
    answer = await gql(person, IMPORT, input={"portfolioId": "!", "csv": "x"})
    assert (answer.code, set(answer.fields)) == ("BAD_USER_INPUT", {"input.portfolioId"})
    assert read == []
    await gql(person, IMPORT, input={"portfolioId": ids.encode("Portfolio", uuid.uuid4()), "csv": "x"})
    assert read == ["x"]


async def test_a_turn_lasts_until_what_the_file_leads_to_is_stored(
    gql: Gql, make: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was read of many files would be in memory, and written, at once."""
    read: list[str] = []
    begun, loop = asyncio.Event(), asyncio.get_running_loop()

    def parse(text: str) -> Parsed:
        read.append(text)
        loop.call_soon_threadsafe(begun.set)
        return Parsed()

    person = await make.person()
    created = await gql(person, 'mutation { createPortfolio(input: {name: "Main"}) { portfolio { id } } }')
    portfolio = created.data["createPortfolio"]["portfolio"]["id"]
    monkeypatch.setattr(portfolios_csv, "parse", parse)
    async with database.transaction() as session:
        await session.execute(text("lock table portfolios in exclusive mode"))
        given = [{"portfolioId": portfolio, "csv": name} for name in ("first", "second")]
        tasks = [asyncio.create_task(gql(person, IMPORT, input=one)) for one in given]
        await asyncio.wait_for(begun.wait(), 10)
        await asyncio.sleep(0.3)
        assert len(read) == 1  # which of two that arrive at once is first, is anybody's
    for answer in await asyncio.gather(*tasks):
        assert not answer.errors
    assert sorted(read) == ["first", "second"]
