"""Around every request: its id, its line in the log, and the answer when all else failed. Routes are the app's."""

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import errors

_log = structlog.get_logger("gatehouse.http")
_LOGGED_PATH = 200
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")


class RequestLog:
    """Gives each request an id, answers it as `X-Request-Id` and logs one line.

    The caller's own id is kept where it is harmless text. The path is logged without its query: GraphQL over GET
    carries the whole document and its variables there.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status, began = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                _log.exception("request.failed")
                if status:
                    raise
                await _masked(request_id)(scope, receive, send_with_id)
            finally:
                elapsed = round((time.perf_counter() - began) * 1000, 1)
                _log.info(
                    "request", method=scope["method"], path=scope["path"][:_LOGGED_PATH], status=status, ms=elapsed
                )


def _masked(request_id: str) -> Response:
    """The answer to an error that no door has rendered: told only as the id under which the log has it."""
    error = errors.InternalError(request_id)
    return JSONResponse({"detail": error.message, "code": error.code}, error.status)


async def not_served(_request: Request, error: Exception) -> Response:
    """Routes that do not exist, and methods they do not have."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail, "code": "NOT_FOUND"}, error.status_code, headers=error.headers)
