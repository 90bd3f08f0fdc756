"""HTTP/1.1 of uvicorn with bounds on what a client sends before an application sees it. Bodies are bounded by the app.

uvicorn on httptools collects a request head of any size and waits for it for ever.
"""

import asyncio
import uuid
from contextvars import Context
from typing import Any, ClassVar, NoReturn

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from cli.answering import whole

_log = structlog.get_logger("gatehouse.http")


class _HeadTooLargeError(Exception):
    """Stops the parser; it reaches `send_400_response` as an error of the parser."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 (RFC 6585, section 5) to a request head beyond the bounds; closes a connection that is silent in one.

    The bounds hold for the trailers of a chunked body too. Trailers are not taken as headers (RFC 9110, section 6.5.1).
    """

    head_bytes: ClassVar[int] = 32 * 1024
    """Of the URL, and of the names and values of all headers, each counted with the four signs around them."""
    head_fields: ClassVar[int] = 100
    head_seconds: ClassVar[float] = 10.0
    """How long it may take from the opening of a connection, or the first byte after an answer, to a whole head."""

    _deadline: asyncio.TimerHandle | None = None
    _idle: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    _in_head = False
    _progress = False
    _unparsed = 0  # bytes received since the last that became a whole head or body
    _parsed = 0
    _too_large = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._progress, self._idle_since = False, None
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # else it is a WebSocket's now
            return
        # The parser keeps an unfinished field to itself, so that only the bytes that went into it can be counted.
        self._unparsed = 0 if self._progress else self._unparsed + len(data)
        if self._unparsed > self.head_bytes:
            self._too_large = True
            self.send_400_response("")
        else:
            self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._parsed = True, 0

    def on_url(self, url: bytes) -> None:
        self._parsed += len(url)
        if self._parsed > self.head_bytes:
            self._refuse_head()
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Each of a request comes by here, so that uvicorn's part is spelled out below: what the call of it costs is
        # what it does.
        self._parsed = parsed = self._parsed + len(name) + len(value) + 4
        if parsed > self.head_bytes:
            self._refuse_head()
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self.headers) > self.head_fields:
            self._refuse_head()
        self._in_head, self._progress = False, True
        if self._deadline is not None:
            self._unwatch()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        """As uvicorn has it, but that one timer looks after all pauses of a connection: one for each costs too much."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._look_later(self.timeout_keep_alive)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, whole(app, cycle))

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not take, as 400 or 431, and close the connection."""
        self._unwatch()
        if not self._answering():  # else it would stand inside the answer to an earlier request
            status, request_id = (431 if self._too_large else 400), uuid.uuid4().hex
            _log.info("request.refused", status=status, request_id=request_id)
            text = b"The request head is too large." if self._too_large else msg.encode()
            fields = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(text)).encode()),
                (b"x-request-id", request_id.encode()),
                (b"connection", b"close"),
            ]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
            self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + text)
        self.transport.close()

    def _refuse_head(self) -> NoReturn:
        self._too_large = True
        raise _HeadTooLargeError

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request, whatever uvicorn says
        return cycle is not None and not cycle.response_complete

    def _watch(self) -> None:
        """Have the deadline run while it is the client's turn; right after an answer uvicorn has one of its own."""
        if self._answering():
            if self._deadline is not None:
                self._unwatch()  # what came of the next head may wait as long as the answer takes
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self.transport.close)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _look_later(self, seconds: float) -> None:
        self._idle = self.loop.call_later(seconds, self._look, context=Context())  # of no request

    def _look(self) -> None:
        """Close what has been idle for long enough. What is busy has it looked at again after the next answer."""
        self._idle = None
        if self._idle_since is not None:
            left = self._idle_since + self.timeout_keep_alive - self.loop.time()
            if left > 0:
                self._look_later(left)
            else:
                self.timeout_keep_alive_handler()
