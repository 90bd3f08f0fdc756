"""Around every request: its id, its line in the log, and the answer when all else failed. Routes are the app's."""

import os
import re
import time
from collections.abc import Awaitable, Iterator

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import errors
import logs

_log = structlog.get_logger("gatehouse.http")
_LOGGED_PATH = 200
_ID_BYTES = 16
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")


class RequestLog:
    """Gives each request an id, answers it as `X-Request-Id` and logs one line.

    The caller's own id is kept where it is harmless text. The path is logged without its query: GraphQL over GET
    carries the whole document and its variables there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ids = _ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given(scope) or next(self._ids)
        scope.setdefault("state", {})["request_id"] = request_id
        status, began = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        around = logs.request_id.set(request_id)
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _log.exception("request.failed")
            if status:
                raise
            await _masked(request_id)(scope, receive, send_with_id)
        finally:
            elapsed = round((time.perf_counter() - began) * 1000, 1)
            logs.request(scope["method"], scope["path"][:_LOGGED_PATH], status=status, ms=elapsed)
            logs.request_id.reset(around)


class Shortcut:
    """Past all that is in `rest` for the one path that nearly every request has.

    With `unless`, the name of a header, only for requests that do not have it.
    """

    def __init__(self, path: str, there: ASGIApp, rest: ASGIApp, *, unless: bytes | None = None) -> None:
        self._path = path
        self._there = there
        self._rest = rest
        self._unless = unless

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self._there if self._leads_there(scope) else self._rest)(scope, receive, send)

    def _leads_there(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["path"] != self._path:
            return False
        return self._unless is None or self._unless not in dict(scope["headers"])


def _ids() -> Iterator[str]:
    """Ids that nobody has had, without end. Many at once: to ask the kernel takes longer than to spell one."""
    while True:
        digits = os.urandom(_ID_BYTES * 256).hex()
        for start in range(0, len(digits), 2 * _ID_BYTES):
            yield digits[start : start + 2 * _ID_BYTES]


def _given(scope: Scope) -> str | None:
    """The caller's own id, if it is one."""
    value: bytes | None = dict(scope["headers"]).get(b"x-request-id")
    if value is None:
        return None
    text = value.decode("latin-1")
    return text if _REQUEST_ID.fullmatch(text) else None


def _masked(request_id: str) -> Response:
    """The answer to an error that no door has rendered: told only as the id under which the log has it."""
    error = errors.InternalError(request_id)
    return JSONResponse({"detail": error.message, "code": error.code}, error.status)


async def not_served(_request: Request, error: Exception) -> Response:
    """Routes that do not exist, and methods they do not have."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail, "code": "NOT_FOUND"}, error.status_code, headers=error.headers)
