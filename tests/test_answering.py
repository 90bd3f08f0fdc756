"""How answers leave `gatehouse serve`: in one write where they are whole, else as uvicorn sends them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from cli.protocol import BoundedProtocol

BODY = b'{"data": null}'
HEAD = [(b"content-type", b"application/json"), (b"content-length", b"14")]
START = {"type": "http.response.start", "status": 200, "headers": HEAD}
WHOLE = {"type": "http.response.body", "body": BODY}


class Wire(asyncio.Transport):
    """Notes each call of the kernel that it would take."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed  # where uvloop raises
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def resume_reading(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass


async def answered(*messages: Any, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", before: Any = None) -> Wire:
    """What leaves when an application sends these (None: it receives); `before` is called with the protocol then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if before is not None:
            before(protocol)
        for message in messages:
            await (receive() if message is None else send(dict(message)))

    config = uvicorn.Config(app, http=BoundedProtocol, log_config=None, server_header=False, date_header=False)
    config.load()
    config.loaded_app = app
    state, wire = ServerState(), Wire()
    protocol = BoundedProtocol(config, state, {}, asyncio.get_running_loop())
    wire.set_protocol(protocol)
    protocol.connection_made(wire)
    protocol.data_received(request)
    await asyncio.gather(*state.tasks)
    if not wire.closed:
        assert protocol.cycle.response_complete
        assert protocol._idle is not None
        protocol._idle.cancel()
    protocol._unwatch()
    return wire


def told(wire: Wire) -> bytes:
    return b"".join(wire.sent)


@pytest.mark.parametrize("size", [0, 14, 64 * 1024, 64 * 1024 + 1, 1_000_000])
async def test_head_and_body_are_one_write(size: int) -> None:
    body = b"x" * size
    start = {**START, "headers": [(b"content-length", b"%d" % size), (b"x", b"a\tb")]}
    wire = await answered(start, {"type": "http.response.body", "body": body})
    assert wire.sent == [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nx: a\tb\r\n\r\n" % size + body]
    assert not wire.closed


async def test_an_answer_without_a_body_of_its_own_is_whole_too() -> None:
    start = {**START, "headers": [(b"content-length", b"0")]}
    wire = await answered(start, {"type": "http.response.body"})
    assert wire.sent == [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]


async def test_two_requests_on_one_connection_are_answered_in_their_order() -> None:
    wire = await answered(START, WHOLE, request=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    for _ in range(3):
        await asyncio.sleep(0)
    assert [part.count(b"HTTP/1.1 200") for part in wire.sent] == [1, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"x", b"a\r\nSet-Cookie: b"), (b"x", b"a\nb"), (b"x", b"a\0b"), (b"x", b"a\rb"), (b"x\r\ny", b"a")],
)
async def test_a_field_that_would_be_two_is_not_sent(name: bytes, value: bytes) -> None:
    wire = await answered({**START, "headers": [*HEAD, (name, value)]}, WHOLE)
    assert b"HTTP/1.1 200" not in told(wire)
    assert b"Set-Cookie" not in told(wire)


@pytest.mark.parametrize("length", [13, 15])
async def test_a_body_of_another_length_ends_the_connection(length: int) -> None:
    wire = await answered({**START, "headers": [(b"content-length", b"%d" % length)]}, WHOLE)
    assert wire.closed


@pytest.mark.parametrize(
    ("request_head", "headers", "sent"),
    [
        (b"GET / HTTP/1.1", [], b"transfer-encoding: chunked\r\n\r\ne\r\n" + BODY + b"\r\n0\r\n\r\n"),
        (b"HEAD / HTTP/1.1", HEAD, b"content-length: 14\r\n\r\n"),
        (b"GET / HTTP/1.0", HEAD, b"content-length: 14\r\nconnection: close\r\n\r\n" + BODY),
        (b"GET / HTTP/1.1", [*HEAD, (b"connection", b"close")], b"connection: close\r\n\r\n" + BODY),
    ],
)
async def test_what_is_not_usual_leaves_as_uvicorn_sends_it(
    request_head: bytes, headers: Sequence[tuple[bytes, bytes]], sent: bytes
) -> None:
    wire = await answered({**START, "headers": headers}, WHOLE, request=request_head + b"\r\nHost: x\r\n\r\n")
    assert told(wire).endswith(sent)
    assert wire.closed == (b"connection: close" in sent)


async def test_the_parts_of_a_body_leave_as_they_come() -> None:
    part = {"type": "http.response.body", "body": BODY[:7], "more_body": True}
    wire = await answered(START, part, {"type": "http.response.body", "body": BODY[7:]})
    assert wire.sent[1:] == [BODY[:7], BODY[7:]]


@pytest.mark.parametrize("requests", [1, 3])
async def test_nothing_is_sent_to_who_has_left(requests: int, caplog: pytest.LogCaptureFixture) -> None:
    """Of several requests uvicorn tells the newest one only."""

    def leave(protocol: BoundedProtocol) -> None:
        protocol.transport.close()
        protocol.connection_lost(None)

    wire = await answered(START, WHOLE, request=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * requests, before=leave)
    assert wire.sent == []
    assert not caplog.records


async def test_who_waits_to_go_on_is_not_told_to_after_the_answer() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    wire = await answered(START, WHOLE, None, request=head)
    assert told(wire).endswith(BODY)


@pytest.mark.parametrize(
    "headers",
    [
        [*HEAD, (b"Connection", b"close")],
        [(b"content-length", b"14"), (b"Transfer-Encoding", b"chunked")],
        [(b"content-length", b"13"), *HEAD],
        [*HEAD, (b"a b", b"c")],
        [*HEAD, (b"a:b", b"c")],
    ],
)
async def test_what_uvicorn_would_see_in_a_head_is_left_to_it(headers: list[tuple[bytes, bytes]]) -> None:
    for _ in range(2):
        wire = await answered({**START, "headers": headers}, WHOLE)
        closing, chunked = wire.closed, b"\r\ne\r\n" + BODY + b"\r\n0\r\n\r\n" in told(wire)
        assert closing or chunked


async def test_a_head_without_a_body_is_no_answer() -> None:
    """Before the first body nothing has begun, so that the client can be told."""
    wire = await answered(START)
    assert told(wire).startswith(b"HTTP/1.1 500")
