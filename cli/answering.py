"""How an answer leaves: where it has one body, in one write. What it says, and when it is due, is for others."""

from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

_JOINED = 64 * 1024
"""Bytes of a body that are copied behind its head sooner than handed on beside it."""
# What these say is about the connection, which uvicorn looks after.
_OF_CONNECTION = frozenset({b"connection", b"transfer-encoding"})
_usual: set[bytes] = set()
"""Names of fields that were looked at: as they have to be, and none of those."""
_MOST_USUAL = 100


def whole(app: Any, cycle: RequestResponseCycle) -> Any:
    """The application for the one request of the cycle, whose answers leave by `Answering`."""

    def answered(scope: Scope, receive: Receive, _send: Send) -> Any:
        return app(scope, receive, Answering(cycle))

    return answered


class Answering:
    """The `send` of ASGI, for a request of uvicorn's.

    The head waits for the first body, before which a server must not begin an answer (ASGI, "Response Start"). uvicorn
    sends each as it comes: two calls of the kernel and two packets, after two regular expressions for each field, which
    cost more than to compose a small answer. What is not usual goes that way still.
    """

    __slots__ = ("_cycle", "_start")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        cycle, start = self._cycle, self._start
        if cycle.transport.is_closing():
            cycle.disconnected = True  # uvicorn tells the newest request only, and others may wait before that
        if start is None and message["type"] == "http.response.start" and not cycle.response_started:
            self._start = message
            return
        self._start = None
        head = None if start is None else self._head(start, message)
        if head is None:
            for one in (message,) if start is None else (start, message):
                await cycle.send(one)  # type: ignore[arg-type]  # Starlette does not tell the messages apart
            return
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        body = message.get("body", b"")
        if len(body) <= _JOINED:
            cycle.transport.write(head + body)
        else:
            cycle.transport.writelines((head, body))
        cycle.message_event.set()
        cycle.on_response()

    def _head(self, start: Message, message: Message) -> bytes | None:
        """The head of an answer that is whole with this body; None for all that is not as usual."""
        cycle = self._cycle
        if (
            message["type"] != "http.response.body"
            or message.get("more_body", False)
            or cycle.disconnected
            or cycle.flow.write_paused
            or not cycle.keep_alive
            or cycle.scope["method"] == "HEAD"
        ):
            return None
        fields = [*cycle.default_headers, *start.get("headers", ())]
        by_name = dict(fields)
        if (
            len(by_name) < len(fields)  # one of them twice
            or by_name.get(b"content-length") != b"%d" % len(message.get("body", b""))
            or not (by_name.keys() <= _usual or all(map(_is_usual, by_name)))
        ):
            return None
        written = [b"%b: %b\r\n" % (name, value) for name, value in fields]
        head = b"".join((STATUS_LINE[start["status"]], *written, b"\r\n"))
        # What ends a line in a field would make it two, and NUL is as dangerous (RFC 9110, section 5.5).
        lines = len(fields) + 2
        safe = head.count(b"\r") == lines and head.count(b"\n") == lines and b"\0" not in head
        return head if safe else None


def _is_usual(name: bytes) -> bool:
    """Whether a field of this name needs no second look."""
    fine = name == name.lower() and name not in _OF_CONNECTION and not HEADER_RE.search(name)
    if fine and len(_usual) < _MOST_USUAL:
        _usual.add(name)
    return fine
