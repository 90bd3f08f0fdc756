"""Clerk's Backend API as far as it is asked, over real HTTP on loopback; and user objects as Clerk sends them."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

SECRET_KEY = "sk_test_fakeFakeFake"
JULY = datetime(2026, 7, 1, 12, tzinfo=UTC)


def user_id() -> str:
    return f"user_{uuid4().hex}"


def milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def address(email: str, status: str | None = "verified") -> dict[str, Any]:
    verification = {"object": "verification_otp", "status": status, "strategy": "email_code"} if status else None
    return {
        "id": f"idn_{email}",
        "object": "email_address",
        "email_address": email,
        "reserved": False,
        "verification": verification,
        "linked_to": [],
    }


def clerk_user(subject: str, at: datetime = JULY, **changes: Any) -> dict[str, Any]:
    """A user object: no address, no names; `email` is made the primary one, verified."""
    email = changes.pop("email", None)
    user: dict[str, Any] = {
        "id": subject,
        "object": "user",
        "external_id": None,
        "username": None,
        "first_name": None,
        "last_name": None,
        "image_url": "https://img.example.test/nobody.png",
        "has_image": False,
        "primary_email_address_id": f"idn_{email}" if email else None,
        "email_addresses": [address(email)] if email else [],
        "phone_numbers": [],
        "public_metadata": {},
        "private_metadata": {"note": "nobody's business"},
        "banned": False,
        "created_at": milliseconds(JULY),
        "updated_at": milliseconds(at),
    }
    return user | changes


@dataclass
class FakeClerk:
    """Answers `GET /v1/users/{id}` from `users`; `script` holds raw answers that come first, one per call."""

    base_url: str
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    script: deque[bytes] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)
    """The paths that were asked for, in order."""
    sent: list[dict[str, str]] = field(default_factory=list)
    """The headers of each call, names in lower case."""
    hanging: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at each call."""

    def answer(self, path: str) -> bytes:
        if self.script:
            return self.script.popleft()
        user = self.users.get(path.removeprefix("/v1/users/"))
        if user is None:
            return answer(404, {"errors": [{"message": "not found", "code": "resource_not_found"}]})
        return answer(200, user)


def answer(status: int, document: object = None, **headers: str) -> bytes:
    """An HTTP answer as bytes; `retry_after="3"` becomes the header Retry-After."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def fake_clerk() -> AsyncIterator[FakeClerk]:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fake.calls.append(head[0].split(" ")[1])
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            fake.sent.append({name.lower(): value for name, value in pairs})
            fake.reached.set()
            if fake.hanging:
                await over.wait()
            else:
                writer.write(fake.answer(fake.calls[-1]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client gave up, which some tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fake = FakeClerk(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield fake
    finally:
        over.set()
        server.close()
        await server.wait_closed()
