"""The bounds on request heads, with a real uvicorn on loopback: what is refused, what is closed, what works as ever."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import uvicorn

from cli.protocol import BoundedProtocol

GET = b"GET /here HTTP/1.1\r\nHost: x\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Tells what it got; /early answers before it reads the body, /slow after 0.7 s."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    if scope["type"] != "http":
        return
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await asyncio.sleep(0.7 if scope["path"] == "/slow" else 0)
    names = [name.decode() for name, _ in scope["headers"]]
    text = json.dumps({"path": scope["path"], "size": size, "names": names}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


class Counting(BoundedProtocol):
    """The class under test, which also tells how many bytes it took."""

    fed = 0

    def data_received(self, data: bytes) -> None:
        Counting.fed += len(data)
        super().data_received(data)


class Hasty(BoundedProtocol):
    head_seconds = 0.3


@contextlib.contextmanager
def serving(protocol: type[BoundedProtocol], loop: Literal["asyncio", "uvloop"] = "asyncio") -> Iterator[int]:
    config = uvicorn.Config(
        app,
        http=protocol,
        loop=loop,
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=1,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with serving(Counting, request.param) as port:
        yield port


@pytest.fixture(scope="module")
def hasty() -> Iterator[int]:
    with serving(Hasty) as port:
        yield port


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client


def until_closed(client: socket.socket) -> bytes:
    """All that the server says before it closes the connection; raises `TimeoutError` where it does not."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while more := client.recv(65536):
            said += more
    return said


def sent(client: socket.socket, data: bytes, times: int, pause: float = 0.0) -> int:
    """How often `data` could be sent before the server closed the connection."""
    for number in range(times):
        try:
            client.sendall(data)
        except ConnectionError:
            return number
        time.sleep(pause)
    return times


def answers(client: socket.socket, count: int) -> list[Any]:
    """The next `count` answers, of which the status has to be 200."""
    found, stream = [], client.makefile("rb")
    for _ in range(count):
        assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
        length = 0
        while (line := stream.readline()) != b"\r\n":
            name, value = line.split(b": ")
            length = int(value) if name == b"content-length" else length
        found.append(json.loads(stream.read(length)))
    return found


def fields(count: int, value: bytes = b"") -> bytes:
    return b"".join(b"h%03d: %s\r\n" % (number, value) for number in range(count))


@pytest.mark.parametrize(
    ("head", "accepted"),
    [
        (GET + fields(99), True),
        (GET + fields(100), False),
        (GET + fields(30, b"v" * 1000), True),
        (GET + fields(33, b"v" * 1000), False),
        (GET + b"a: " + b"v" * 32_000 + b"\r\n", True),
        (GET + b"a: " + b"v" * 33_000 + b"\r\n", False),
        (GET + b"n" * 32_000 + b": v\r\n", True),
        (GET + b"n" * 33_000 + b": v\r\n", False),
        (b"GET /?" + b"u" * 32_000 + b" HTTP/1.1\r\nHost: x\r\n", True),
        (b"GET /?" + b"u" * 33_000 + b" HTTP/1.1\r\nHost: x\r\n", False),
        (b"GET /?" + b"u" * 20_000 + b" HTTP/1.1\r\nHost: x\r\na: " + b"v" * 20_000 + b"\r\n", False),
    ],
)
@pytest.mark.parametrize("piece", [100_000, 1_000])
def test_a_head_is_accepted_up_to_the_bounds(port: int, head: bytes, accepted: bool, piece: int) -> None:
    whole = head + b"\r\n"
    with connected(port) as client:
        with contextlib.suppress(ConnectionError):  # closed before it has all of it
            for start in range(0, len(whole), piece):
                client.sendall(whole[start : start + piece])
        if accepted:
            answers(client, 1)
            return
        said = until_closed(client)
    if piece > len(whole):  # else the end of the connection may overtake the answer
        assert said.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
        assert b"\r\nx-request-id: " in said
        assert b"\r\nconnection: close\r\n" in said


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", b"\r\n" * 50_000),
        (b"GET /?", b"u" * 100_000),
        (GET, fields(100, b"v" * 1000)),
        (GET, b"n" * 100_000),
        (GET + b"a: ", b"v" * 100_000),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\na: ", b"v" * 100_000),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: \r\n" * 20_000),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n1;", b"e" * 100_000),
        (GET + b"\r\n" + GET + b"a: ", b"v" * 100_000),
    ],
    ids=["blank lines", "URL", "headers", "name", "value", "trailer", "trailers", "chunk extension", "second request"],
)
def test_an_endless_head_is_cut_off_early(port: int, start: bytes, more: bytes) -> None:
    Counting.fed = 0
    with connected(port) as client:
        client.sendall(start)
        assert sent(client, more, 1000) < 1000
        until_closed(client)
    assert Counting.fed < BoundedProtocol.head_bytes + 2 * 256 * 1024  # asyncio reads 256 KiB at once


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"\r\n",
        b"G",
        GET,
        GET + b"a: b",
        GET + b"\r\n" + GET,
    ],
    ids=["nothing", "blank line", "method", "headers", "half a header", "second request"],
)
def test_what_does_not_come_to_an_end_is_closed(hasty: int, start: bytes) -> None:
    with connected(hasty) as client:
        client.sendall(start)
        until_closed(client)


def test_bytes_that_trickle_in_do_not_put_the_end_off(hasty: int) -> None:
    with connected(hasty) as client:
        client.sendall(GET)
        assert sent(client, b"a: b\r\n", 90, pause=0.05) < 90


def test_the_rest_of_a_body_that_came_after_its_answer_leaves_no_connection_without_end(hasty: int) -> None:
    with connected(hasty) as client:
        client.sendall(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        answers(client, 1)
        client.sendall(b"half")
        assert until_closed(client) == b""


def test_a_body_a_keep_alive_pause_and_a_websocket_may_take_longer_than_a_head(hasty: int) -> None:
    with connected(hasty) as client, connected(hasty) as upgraded:
        key = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        upgraded.sendall(GET + key + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        assert upgraded.recv(65536).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        time.sleep(0.6)
        client.sendall(b"half")
        assert answers(client, 1)[0]["size"] == 8
        time.sleep(0.6)
        client.sendall(GET + b"\r\n")
        assert answers(client, 1)[0]["path"] == "/here"
        upgraded.settimeout(0.1)
        with pytest.raises(TimeoutError):
            upgraded.recv(1)


def test_a_head_that_waits_behind_slow_answers_is_not_late(hasty: int) -> None:
    with connected(hasty) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"\r\n" + GET)
        time.sleep(0.4)
        client.sendall(b"\r\n")
        assert [answer["path"] for answer in answers(client, 3)] == ["/slow", "/here", "/here"]


def test_a_connection_is_closed_when_it_was_idle_and_not_before(port: int) -> None:
    with connected(port) as client:
        answered = 0.0
        for _ in range(4):
            client.sendall(GET + b"\r\n")
            assert answers(client, 1)[0]["path"] == "/here"
            answered = time.monotonic()
            time.sleep(0.4)  # together longer than it may be idle
        assert until_closed(client) == b""
        assert 0.5 < time.monotonic() - answered < 5


def test_keep_alive_and_pipelining_count_each_head_for_itself(port: int) -> None:
    large = GET + b"a: " + b"v" * 20_000 + b"\r\n\r\n"
    with connected(port) as client:
        for _ in range(3):
            client.sendall(large)
            assert answers(client, 1)[0]["names"] == ["host", "a"]
        client.sendall(b"".join(GET.replace(b"here", b"%d" % number) + b"\r\n" for number in range(50)))
        assert [answer["path"] for answer in answers(client, 50)] == [f"/{number}" for number in range(50)]
        client.sendall(large * 4)
        assert len(answers(client, 4)) == 4


@pytest.mark.parametrize("piece", [10_000_000, 60_001])
def test_large_bodies_pass_with_length_and_in_chunks(port: int, piece: int) -> None:
    size = 1024 * 1024
    length = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"b" * size
    head = b"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = head + (b"10000\r\n%s\r\n" % (b"b" * 65536)) * 16 + b"0\r\n\r\n"
    tiny = head + b"1\r\nb\r\n" * 50_000 + b"0\r\nAuthorization: trailer\r\n\r\n"
    whole = length + chunks + tiny
    with connected(port) as client:
        for start in range(0, len(whole), piece):
            client.sendall(whole[start : start + piece])
        found = answers(client, 3)
    assert [answer["size"] for answer in found] == [size, size, 50_000]
    assert "authorization" not in found[2]["names"]


def test_what_is_no_http_is_told_so_with_an_id(port: int) -> None:
    with connected(port) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        said = until_closed(client)
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nx-request-id: " in said
    assert said.endswith(b"\r\n\r\nInvalid HTTP request received.")
