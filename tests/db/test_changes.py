"""Announcements: told again where that failed, `*` where there are too many, given up when the process ends."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from db import changes
from db.changes import EVERYBODY, Changes
from db.session import Database, Read

ONE, OTHER = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
async def told(database_url: str, channel: str) -> AsyncIterator["asyncio.Queue[str]"]:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener(channel, lambda _connection, _pid, _channel, payload: heard.put_nowait(payload))
    yield heard
    await listener.close()


@pytest.fixture
def channel() -> str:
    return f"test_{uuid.uuid4().hex}"


@pytest.fixture
def run(database: Database) -> Callable[[Read], Awaitable[object]]:
    return database.rows


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "WINDOW_SECONDS", 0.01)
    monkeypatch.setattr(changes, "RETRY_SECONDS", 0.01)


async def test_what_was_not_told_is_told_again(
    run: Callable[[Read], Awaitable[object]], channel: str, told: "asyncio.Queue[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Changes(run, channel=channel)
    notify, failures = subject._notify, 3

    async def fail_first(parts: list[str]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            subject.note([OTHER])
            raise OSError("out of reach")
        await notify(parts)

    monkeypatch.setattr(subject, "_notify", fail_first)
    subject.note([ONE])
    assert set((await asyncio.wait_for(told.get(), 5)).split(",")) == {str(ONE), str(OTHER)}
    await subject.close()
    assert told.empty()


async def test_too_many_are_everybody(
    run: Callable[[Read], Awaitable[object]], channel: str, told: "asyncio.Queue[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_WAITING", 1)
    subject = Changes(run, channel=channel)
    subject.note([ONE])
    subject.note([OTHER])
    await subject.close()
    assert await asyncio.wait_for(told.get(), 5) == EVERYBODY


async def test_many_go_in_payloads_that_postgres_takes(
    run: Callable[[Read], Awaitable[object]], channel: str, told: "asyncio.Queue[str]"
) -> None:
    users = {uuid.uuid4() for _ in range(450)}
    subject = Changes(run, channel=channel)
    subject.note(users)
    await subject.close()
    payloads = [await asyncio.wait_for(told.get(), 5) for _ in range(3)]
    assert max(map(len, payloads)) < 8000
    assert {uuid.UUID(one) for payload in payloads for one in payload.split(",")} == users


async def test_a_process_that_ends_does_not_wait_for_a_dead_database(
    run: Callable[[Read], Awaitable[object]], channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = Changes(run, channel=channel)

    async def fail(_parts: list[str]) -> None:
        raise OSError("out of reach")

    monkeypatch.setattr(subject, "_notify", fail)
    subject.note([ONE])
    await asyncio.wait_for(subject.close(), 5)
