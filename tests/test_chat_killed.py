"""A server that is killed while it writes answers, and the next one: nothing stays unfinished, nothing is paid for."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

import clock
from auth.local_issuer import LocalIssuer
from domain.chat_replies import LEASE, MAX_QUEUED, TICK
from schema import ids
from tests.conftest import TEMPLATE, _execute, on
from tests.fakes.llm_api import API_KEY, MODEL, FakeLlm, fake_llm
from tests.gql import Gql
from tests.test_commands import environment, free_port

ROOT = Path(__file__).resolve().parents[1]
SEND = """mutation($content: String!) {
  sendChatMessage(input: {content: $content}) { answer { id } quota { used } }
}"""
ANSWER = "query($id: ID!) { node(id: $id) { ... on ChatMessage { status content error } } }"
USED = "{ usage { aiMessages { used } } }"


@pytest.fixture
async def url(postgres: str) -> AsyncIterator[str]:
    name = f"killed_{uuid.uuid4().hex}"
    await _execute(postgres, f"create database {name} template {TEMPLATE}")
    yield on(postgres, name)
    await _execute(postgres, f"drop database {name} with (force)")


@asynccontextmanager
async def serving(home: Path, **more: str) -> AsyncIterator[tuple[Gql, asyncio.subprocess.Process]]:
    """`gatehouse serve` in a process of its own, killed at the end."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "serve", "--port", str(port)), cwd=ROOT, env=environment(home, **more)
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
        try:
            for _ in range(400):
                assert process.returncode is None
                try:
                    if (await client.get("/health")).is_success:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
            yield Gql(client), process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def ended(gql: Gql, who: dict[str, str], message_id: str) -> dict[str, Any]:
    for _ in range(400):
        message: dict[str, Any] = (await gql(who, ANSWER, id=message_id)).data["node"]
        if message["status"] not in ("QUEUED", "STREAMING"):
            return message
        await asyncio.sleep(0.05)
    raise AssertionError("it was never settled")


async def test_after_a_kill_everything_is_settled_and_the_unit_is_back(url: str, tmp_path: Path) -> None:
    assert LEASE.total_seconds() + 2 * TICK < 60
    assert MAX_QUEUED.total_seconds() + 2 * TICK < 60
    home = tmp_path / "gatehouse"
    token = LocalIssuer(home / "issuer").sign("clerk", "user_chatting", expires_in=timedelta(hours=1))
    who = {"Authorization": f"Bearer {token}"}
    async with fake_llm() as fake:
        settings = {
            "ENVIRONMENT": "test",
            "DEV_ISSUER_ENABLED": "true",
            "INVITE_CODE_ENABLED": "false",
            "DATABASE_URL": url,
            "CHAT_BASE_URL": fake.base_url,
            "CHAT_API_KEY": API_KEY,
            "CHAT_MODEL": MODEL,
        }
        lost = await _killed_while_writing(tmp_path, fake, who, settings)
        # Queued by a process that died before it could take it.
        await _requeue(url, lost[0])
        fake.let_go()
        async with serving(tmp_path, **settings) as (gql, _):
            found = await ended(gql, who, lost[0])
            assert (found["status"], found["content"]) == ("COMPLETE", "Hello.")
            assert (await gql(who, ANSWER, id=lost[1])).data["node"]["status"] == "STREAMING"
            clock.move_followers(home / "clock", LEASE + timedelta(seconds=1))
            found = await ended(gql, who, lost[1])
            assert (found["status"], found["content"]) == ("FAILED", "")
            assert found["error"] == "The answer was interrupted. Ask again. This message does not count."
            assert (await gql(who, USED)).data["usage"]["aiMessages"]["used"] == 1


async def _killed_while_writing(home: Path, fake: FakeLlm, who: dict[str, str], settings: dict[str, str]) -> list[str]:
    """The answers, two, that a server was writing when it was killed."""
    fake.hanging = True
    async with serving(home, **settings) as (gql, process):
        sent = [(await gql(who, SEND, content="Hello?")).data["sendChatMessage"] for _ in range(2)]
        assert sent[1]["quota"]["used"] == 2
        for _ in range(400):
            if fake.at_once == 2:
                break
            await asyncio.sleep(0.05)
        assert fake.at_once == 2
        process.kill()
        await process.wait()
    return [one["answer"]["id"] for one in sent]


async def _requeue(url: str, message_id: str) -> None:
    _, key = ids.decode(message_id) or ("", None)
    connection = await asyncpg.connect(url)
    statement = "update chat_messages set status = 'QUEUED', worker = null, leased_until = null where id = $1"
    assert await connection.execute(statement, key) == "UPDATE 1"
    await connection.close()
