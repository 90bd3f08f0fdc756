"""A server that is no good Gatehouse, over real HTTP on loopback: it answers what a test has told it, or does not."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.clerk_api import answer

DROP = b""
"""Takes the request and closes the connection."""
HANG = b"hang"
"""Takes the request and says nothing."""
DRIP = b"drip"
"""Answers a byte now and then, without an end."""
FLOOD = b"flood"
"""Answers without an end."""

COUNTS = {"critical": 0, "high": 1, "medium": 0, "low": 2, "info": 0, "suppressed": 1, "total": 3}
SCAN: dict[str, Any] = {
    "id": "U2Nhbjox",
    "tool": "bandit",
    "toolVersion": "1.8.0",
    "target": "shop",
    "status": "COMPLETE",
    "severity": "HIGH",
    "startedAt": None,
    "finishedAt": None,
    "durationMs": None,
    "createdAt": "2026-11-20T14:05:06.123456Z",
    "metadata": None,
    "findingCounts": COUNTS,
}


def created(*scans: Any, created: int | None = None) -> bytes:
    """The answer to a push."""
    quota = {"used": 1, "limit": None, "remaining": None, "resetsAt": None}
    payload = {"created": len(scans) if created is None else created, "scans": list(scans), "quota": quota}
    return answer(200, {"data": {"createScan": payload}}, content_type="application/json")


def refused(code: str, message: str = "No.", status: int = 200, **extensions: Any) -> bytes:
    """The answer of a Gatehouse that refuses."""
    return answer(status, {"errors": [{"message": message, "extensions": {"code": code, **extensions}}], "data": None})


@dataclass
class FakeGatehouse:
    """`script` holds raw answers, one per request; the last is given again and again."""

    url: str
    script: deque[bytes] = field(default_factory=deque)
    paths: list[str] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request, names in lower case."""
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def next(self) -> bytes:
        return self.script.popleft() if len(self.script) > 1 else self.script[0]

    def inputs(self) -> list[dict[str, Any]]:
        """The input of each mutation that came."""
        return [body["variables"]["input"] for body in self.bodies]


@asynccontextmanager
async def fake_gatehouse(*script: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeGatehouse]:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            head = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
            fake.paths.append(first)
            fake.heads.append(head)
            fake.bodies.append(json.loads(await reader.readexactly(int(head["content-length"]))))
            await _answer(writer, fake.next(), over)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client gave up, which some tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    fake = FakeGatehouse(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", deque(script))
    try:
        yield fake
    finally:
        over.set()
        server.close()
        await server.wait_closed()


async def _answer(writer: asyncio.StreamWriter, told: bytes, over: asyncio.Event) -> None:
    if told == HANG:
        await over.wait()
    elif told in (DRIP, FLOOD):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
        while not over.is_set() and not writer.is_closing():
            writer.write(b" " if told == DRIP else b" " * 1024 * 1024)
            await writer.drain()
            await asyncio.sleep(0.1 if told == DRIP else 0)
    else:
        writer.write(told)
        await writer.drain()
