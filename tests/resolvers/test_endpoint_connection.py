"""Callers who are slow, leave, or ask for what takes too long: over a real connection, with nothing left running."""

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from resolvers.bodies import Bodies, Bounds
from resolvers.incoming import Incoming
from tests.resolvers.graphql_app import Probe, client_of, make_app, served

SLOW = '{"query": "{ a: slow b: slow hello }"}'
SLOW_MUTATION = '{"query": "mutation { touchSlowly }"}'
HEADERS = {"Content-Type": "application/json"}


async def until(condition: Callable[[], bool]) -> None:
    """Wait a bounded time for what another task has to do."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen within 5 seconds")


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    with capture_logs() as events:
        yield events


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture(autouse=True)
async def _nothing_is_left_running() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    own = {asyncio.current_task()}
    await until(lambda: not asyncio.all_tasks() - before - own)


def post_of(body: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST /graphql HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    return (head + body).encode()


async def talk(app: Starlette, sent: bytes) -> tuple[str, dict[str, Any]]:
    """Send bytes, keep the connection open, and read what comes until the server ends it."""
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        received = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
    head, _, body = received.decode().partition("\r\n\r\n")
    return head, json.loads(body)


@pytest.mark.parametrize("body", [SLOW, SLOW_MUTATION])
async def test_a_caller_who_leaves_stops_the_work(probe: Probe, body: str, logged: list[Any]) -> None:
    async with served(make_app(probe)) as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post_of(body))
        await asyncio.wait_for(probe.began.wait(), 5)
        writer.close()
        await writer.wait_closed()
        await until(lambda: probe.cancelled == probe.started)
    assert probe.started == (2 if body is SLOW else 1)
    assert probe.cancelled == probe.started
    assert probe.effects == 0
    assert logged == []  # no timeout and no failure


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_for_a_caller_who_leaves_during_the_sign_in_nothing_runs(probe: Probe, method: str) -> None:
    """By POST it shows when the body is asked for, which it is after the sign-in."""
    signed_in = asyncio.Event()

    async def sign_in(_request: Incoming) -> Probe:
        if method == "GET":
            await probe.wait(30)
        else:
            probe.began.set()
            await signed_in.wait()
        return probe

    sent = post_of(SLOW_MUTATION) if method == "POST" else b"GET /graphql?query={hello} HTTP/1.1\r\nHost: h\r\n\r\n"
    async with served(make_app(probe, sign_in)) as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        await asyncio.wait_for(probe.began.wait(), 5)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        signed_in.set()
        await until(lambda: method == "POST" or probe.cancelled == 1)
    assert probe.effects == 0


@pytest.mark.parametrize("body", [SLOW, SLOW_MUTATION])
async def test_what_takes_too_long_is_stopped_and_said(probe: Probe, body: str, logged: list[Any]) -> None:
    async with client_of(make_app(probe, timeout=0.05)) as client:
        response = await client.post("/graphql", content=body, headers=HEADERS)
    assert response.status_code == 503
    assert response.json()["errors"][0]["extensions"] == {"code": "SERVICE_UNAVAILABLE"}
    assert probe.started == probe.cancelled > 0
    assert probe.effects == 0
    assert [event["event"] for event in logged] == ["execution.timed_out"]


async def test_a_timeout_inside_a_resolver_is_not_the_requests(probe: Probe) -> None:
    async def refuse(_request: Incoming) -> object:
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
        return probe

    async with client_of(make_app(probe, refuse)) as client:
        response = await client.post("/graphql", content=SLOW, headers=HEADERS)
    assert response.status_code == 500


async def test_a_body_that_does_not_come_is_not_waited_for(probe: Probe) -> None:
    head, body = await talk(
        make_app(probe, bodies=Bodies(Bounds(silence=0.05, linger=0.05))), post_of('{"query":', length=100)
    )
    assert head.startswith("HTTP/1.1 408")
    assert body["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert probe.started == 0


async def test_a_body_that_drips_is_not_waited_for_either(probe: Probe) -> None:
    async with served(make_app(probe, bodies=Bodies(Bounds(silence=0.1, linger=0.05)))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post_of("{", length=100_000))

        async def drip() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        head = await asyncio.wait_for(reader.readline(), 5)
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()
    assert head.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_the_answer_to_a_body_that_is_too_large_reaches_a_caller_who_sends_all_of_it_first(
    probe: Probe, connection: str
) -> None:
    """Closing the connection under what still comes would reset it, and the answer would be lost."""
    size = 20_000_000
    body = {"query": "{ hello }", "more": "x" * size}
    headers = {"Content-Type": "application/json", "Connection": connection}

    def send(port: int) -> tuple[int, str]:
        connected = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connected):
            connected.request("POST", "/graphql", json.dumps(body), headers)
            response = connected.getresponse()
            return response.status, response.read().decode()

    async with served(make_app(probe, bodies=Bodies(Bounds(largest=10_000_000)))) as port:
        status, text = await asyncio.to_thread(send, port)
    assert status == 413
    assert "The body is larger than 9.53674 MB" in text


async def test_a_body_that_never_ends_is_cut_off(probe: Probe) -> None:
    bodies = Bodies(Bounds(largest=100, linger=0.05))
    head = b"POST /graphql HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n"
    for framing in (b"Content-Length: 101\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n65\r\n" + b" " * 101 + b"\r\n"):
        answer, _body = await talk(make_app(probe, bodies=bodies), head + framing)
        assert answer.startswith("HTTP/1.1 413")


async def test_a_caller_who_leaves_before_the_body_came_is_nobodys_error(probe: Probe, logged: list[Any]) -> None:
    async with served(make_app(probe)) as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post_of('{"query":', length=100))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
    assert logged == []


async def test_many_requests_over_one_connection(probe: Probe) -> None:
    """The watch over the connection takes nothing from the next request on it."""
    async with served(make_app(probe)) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for number in range(1, 31):
            hello = await client.get("/graphql", params={"query": f'{{ hello(name: "{number}") }}'})
            assert hello.json() == {"data": {"hello": f"hello {number}"}}
            touched = await client.post("/graphql", json={"query": "mutation { touch }"})
            assert touched.json() == {"data": {"touch": number}}
        slow = await asyncio.gather(
            *(client.post("/graphql", json={"query": "{ slow(seconds: 0.05) }"}) for _ in range(20))
        )
    assert [response.json() for response in slow] == [{"data": {"slow": "done"}}] * 20
