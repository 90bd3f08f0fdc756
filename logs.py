"""How the log looks and what never enters it. Which events are logged is decided where they happen."""

import contextlib
import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import orjson
import structlog

import clock
import spelling

_SECRET_NAMES = re.compile(r"authorization|cookie|secret|password|token|api[_-]?key|dsn|database_url", re.IGNORECASE)
_SECRET_SHAPES = re.compile(
    # Possessive, and matching without what follows: text made to look almost like one costs no second look.
    r"eyJ[\w-]++(?:\.[\w-]*+){0,2}"  # a JWT, or what is left of one
    r"|(?<![A-Za-z])(?:iq|sk_test|sk_live|whsec|sb_secret)_[\w+/=-]+"
    r"|(?<=://)[^/\s@]*@"  # the user and password of a URL
)

_REQUESTS = "gatehouse.http"
_requests = structlog.get_logger(_REQUESTS)
_short = False
"""Whether the lines of requests are made without structlog: as JSON, and not left out by the level."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is answered here: each of its events has it."""


def _with_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    known = request_id.get()
    if known is not None:
        event.setdefault("request_id", known)
    return event


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Blank what is named like a secret or looks like one, in tracebacks too."""
    for name, value in event.items():
        event[name] = "[redacted]" if _names_a_secret(name) else _clean(value)
    return event


@lru_cache(maxsize=1000)
def _names_a_secret(name: str) -> bool:
    """Of the name of a value, of which the code has few."""
    return _SECRET_NAMES.search(name) is not None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        # One of these is in each of the shapes. Most text has none, and need not be looked through.
        suspicious = "_" in value or "eyJ" in value or "@" in value
        return _SECRET_SHAPES.sub("[redacted]", value) if suspicious else value
    if isinstance(value, dict):
        return {key: "[redacted]" if _SECRET_NAMES.search(str(key)) else _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def request(method: str, path: str, *, status: int, ms: float) -> None:
    """The event `request`, of one that was answered.

    Of this one there is a line for each request, which structlog's steps would make as dear as the account's look-up.
    """
    if not _short:
        _requests.info("request", method=method, path=path, status=status, ms=ms)
        return
    event = {
        "method": method,
        "path": _clean(path),
        "status": status,
        "ms": ms,
        "event": "request",
        "request_id": _clean(request_id.get()),
        "level": "info",
        "logger": _REQUESTS,
        "timestamp": spelling.moment(clock.unmoved()),
    }
    _write(_json(event))


def configure(level: str, *, readable: bool | None = None) -> None:
    """Send our events and the standard library's to stderr: readable on a terminal, JSON lines otherwise."""
    global _short
    if readable is None:
        readable = sys.stderr.isatty()
    _short = not readable and logging.getLevelNamesMapping()[level.upper()] <= logging.INFO
    marks: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # What is added after it was looked through is ours.
    shared: list[structlog.typing.Processor] = [
        _with_request_id,
        structlog.processors.format_exc_info,
        redact,
        *marks,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(serializer=_json)
    if readable:
        renderer = structlog.dev.ConsoleRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "alembic"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # Its lines hold whole query strings, and so documents; ours is in middleware.
    logging.getLogger("uvicorn.access").disabled = True
    # Each request of httpx is a line with the whole URL, each look at a revision two of Alembic's.
    for chatty in ("alembic", "httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, renderer],
        # Not by way of the standard library, whose record and formatter cost more than all else of a line.
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """Where our events go: each is a line on stderr."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _write(line)

    debug = info = warning = error = critical = msg


_WRITTEN_OR_NOT = contextlib.suppress(OSError, ValueError)
"""A log that cannot be written must not end what is logged."""


def _write(line: str) -> None:
    with _WRITTEN_OR_NOT:
        sys.stderr.write(line + "\n")


def _json(event: Any, **options: Any) -> str:
    try:
        line = orjson.dumps(event, **options).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, or a number beyond 64 bits
        return json.dumps(event, **options)
    # Others than ASCII may end lines or steer terminals; the standard library escapes them.
    return line if line.isascii() else json.dumps(event, **options)
