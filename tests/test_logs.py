"""Logs: readable on a terminal, JSON otherwise, and never a token, key or secret, in tracebacks neither."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

import logs

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJl"
SECRETS = [
    JWT,
    JWT.rpartition(".")[0],
    "iq_" + "a" * 43,
    "sk_live_abc123",
    "whsec_AAECAwQFBgc=",
    "sb_secret_abc",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", ["event", "detail", "nested", "listed"])
def test_what_looks_like_a_secret_is_blanked(secret: str, place: str) -> None:
    text = f"before {secret} after"
    entry: dict[str, Any] = {
        "event": "e",
        place: {"a": {"b": text}} if place == "nested" else [text] if place == "listed" else text,
    }
    cleaned = logs.redact(None, "info", entry)
    assert secret not in repr(cleaned)
    assert "before" in repr(cleaned)


@pytest.mark.parametrize(
    "name", ["authorization", "Cookie", "api_key", "x-api-key", "password", "client_secret", "token"]
)
def test_what_is_named_like_a_secret_is_blanked(name: str) -> None:
    assert logs.redact(None, "info", {name: "plain", "headers": {name: "plain"}}) == {
        name: "[redacted]",
        "headers": {name: "[redacted]"},
    }


@pytest.mark.parametrize("before", ["%22", "=", "key:", "/", "1"])
def test_a_key_is_blanked_wherever_it_stands(before: str) -> None:
    key = "iq_" + "b" * 43
    assert key not in str(logs.redact(None, "info", {"event": f"GET /graphql?q={before}{key}%22"}))


@pytest.mark.parametrize("text", ["eyJ" * 100_000, "eyJ-" * 100_000, "iq_" * 100_000, "://" * 100_000])
def test_text_made_to_be_looked_at_twice_is_not(text: str) -> None:
    """Quadratic patterns took seconds for a path of 60 KB, on the event loop; these would take minutes."""
    assert logs.redact(None, "info", {"event": text})


def test_the_password_of_a_url_is_blanked() -> None:
    cleaned = logs.redact(None, "info", {"event": "cannot connect to postgresql://user:hunter2@db.example/app"})
    assert "hunter2" not in str(cleaned)
    assert "db.example/app" in str(cleaned)


SCRIPT = """
import logging, structlog, logs
logs.configure("info", readable={readable})
try:
    raise RuntimeError("refused {jwt}")
except RuntimeError:
    structlog.get_logger("ours").exception("it.failed", user="u1")
logging.getLogger("theirs").warning("also %s", "{jwt}")
"""


@pytest.mark.parametrize("readable", [True, False])
def test_tracebacks_and_other_libraries_go_the_same_way(readable: bool) -> None:
    script = SCRIPT.format(readable=readable, jwt=JWT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert JWT not in done.stderr
    assert done.stdout == ""
    assert "it.failed" in done.stderr
    if not readable:
        first, second = (json.loads(line) for line in done.stderr.splitlines())
        assert (first["event"], first["level"], first["logger"], first["user"]) == ("it.failed", "error", "ours", "u1")
        assert "RuntimeError: refused [redacted]" in first["exception"]
        assert second["event"] == "also [redacted]"


HARD = """
import datetime, http, structlog, logs
logs.configure("info", readable=False)
log = structlog.get_logger("ours")
log.debug("not.shown")
log.info("request", path="/\\ud800", size=2**70, at=datetime.timedelta(1), status=http.HTTPStatus.OK, what=object)
"""


def test_whatever_is_in_an_event_it_is_one_line_of_json() -> None:
    done = subprocess.run([sys.executable, "-c", HARD], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    found = json.loads(line)
    assert (found["path"], found["size"], found["status"]) == ("/\ud800", 2**70, 200)
    assert found["what"] == "<class 'object'>"


STEERING = """
import structlog, logs
logs.configure("info", readable=False)
structlog.get_logger("ours").info("request", path="/a\u2028{fake}\u009b\x85")
"""


def test_no_other_sign_ends_a_line() -> None:
    done = subprocess.run([sys.executable, "-c", STEERING], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    assert line.isascii()
    assert json.loads(line)["path"] == "/a\u2028{fake}\x9b\x85"


UNREAD = """
import os, structlog, logs
logs.configure("info", readable=False)
os.close(2)
structlog.get_logger("ours").info("nobody.reads.it")
print("went on")
"""


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", UNREAD], capture_output=True, text=True, check=False)
    assert "went on" in done.stdout


def test_uvicorn_has_no_handlers_of_its_own() -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
        logs.configure("info", readable=False)
        assert logging.getLogger("uvicorn.error").handlers == []
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)


REQUESTS = """
import json, sys, logs
cases = json.load(sys.stdin)
for short in (True, False):
    logs.configure("info", readable=False)
    logs._short = short
    for method, path, known in cases:
        around = logs.request_id.set(known)
        logs.request(method, path, status=200, ms=2.5)
        logs.request_id.reset(around)
"""
PATHS = (
    "/graphql",
    "/",
    '/"a',
    "/\\\\",
    "/ü",
    "/\u2028",
    "/a\nb",
    "/\x7f",
    "/%22",
    f"/{JWT}",
    "/user:pw@host",
    "/iq_x",
    "",
)
IDS = ("0123456789abcdef", "a_b_c_d_e", "x.y-z1234", JWT, "")


def test_the_line_of_a_request_is_the_one_that_structlog_would_write() -> None:
    cases = [(method, path, known) for method in ("POST", 'G"T') for path in PATHS for known in IDS]
    done = subprocess.run(
        [sys.executable, "-c", REQUESTS], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2 * len(cases)
    told = [json.loads(line) | {"timestamp": None} for line in lines]
    assert told[: len(cases)] == told[len(cases) :]
    assert JWT not in done.stderr
    assert all(line.isascii() for line in lines)
