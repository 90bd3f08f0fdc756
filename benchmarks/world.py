"""What the measurements share: how much of everything, a migrated database, accounts in it, the application over it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from starlette.types import Message

from app import create_app
from auth.local_issuer import LocalIssuer
from db.models import new_id
from db.session import Database
from domain.actor import Actor, Standing
from settings import Settings


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; `quick` is for a first look."""

    rounds: int = 5
    seconds: float = 1.0
    connections: tuple[int, ...] = (8, 32)
    accounts: int = 10_000
    rows: int = 10_000
    scans: int = 1_000_000
    listed: int = 200_000


QUICK = Sizes(rounds=3, seconds=0.5, connections=(8,), scans=100_000, listed=50_000)


@dataclass(frozen=True, slots=True)
class World:
    """A migrated database that nobody else uses, and a folder for what the application keeps."""

    url: str
    folder: Path
    sizes: Sizes

    @asynccontextmanager
    async def connections(self, count: int) -> AsyncIterator[list[Any]]:
        """Plain ones of asyncpg."""
        opened = [await asyncpg.connect(self.url) for _ in range(count)]
        try:
            yield opened
        finally:
            for connection in opened:
                await connection.close()

    @asynccontextmanager
    async def databases(self, connections: int) -> AsyncIterator[list[Database]]:
        """As many as it takes for each connection to stay open; one for each of its users."""
        per_database = 8
        opened = [Database(self.url) for _ in range(-(-connections // per_database))]
        async with AsyncExitStack() as stack:
            for database in opened:
                stack.push_async_callback(database.close)
            yield [opened[number // per_database] for number in range(connections)]

    async def accounts(self, count: int) -> list[UUID]:
        """New accounts without limits."""
        ids = [new_id() for _ in range(count)]
        async with self.connections(1) as [connection]:
            await connection.execute(
                "insert into users (id, email_verified, full_name_source, username, username_source, tier, "
                "invite_validated, trial_ends_at, created_at, updated_at) select id, false, 'provider', "
                "'b' || substr(md5(id::text), 1, 20), 'placeholder', 'enterprise', true, now(), now(), now() "
                "from unnest($1::uuid[]) as id",
                ids,
            )
        return ids


def actor(user_id: UUID) -> Actor:
    """Somebody without limits, signed in by session."""
    return Actor(user_id, Standing(tier="enterprise", trial_ends_at=None, invited=True), None)


_SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/graphql",
    "raw_path": b"/graphql",
    "query_string": b"",
    "root_path": "",
    "client": ("127.0.0.1", 1),
    "server": ("localhost", 80),
}


class Client:
    """Asks the application in this process, so that no server and no client library is measured with it."""

    def __init__(self, app: Any, issuer: LocalIssuer) -> None:
        self._app, self._issuer = app, issuer

    def person(self, subject: str) -> bytes:
        """The Authorization header of somebody."""
        return b"Bearer " + self._issuer.sign("clerk", subject, expires_in=timedelta(hours=1)).encode()

    async def ask(self, person: bytes, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The data of the answer; an error in it ends the measurement."""
        body = json.dumps({"query": document, "variables": variables or {}}).encode()
        scope: dict[str, Any] = {
            **_SCOPE,
            "headers": [(b"host", b"localhost"), (b"authorization", person), (b"content-type", b"application/json")],
        }
        sent: list[Message] = []
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            # After its request the client stays: another message would be that it has gone.
            return unread.pop() if unread else await asyncio.Future()

        async def send(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        answer: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in sent))
        if "errors" in answer:
            raise RuntimeError(str(answer["errors"][0]))
        data: dict[str, Any] = answer["data"]
        return data


@asynccontextmanager
async def application(world: World) -> AsyncIterator[Client]:
    """The whole application, as it is served."""
    settings = Settings(
        _env_file=None,
        environment="test",
        gatehouse_home=world.folder,
        database_url=SecretStr(world.url),
        invite_code_enabled=False,
        dev_issuer_enabled=True,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Client(app, LocalIssuer(settings.gatehouse_home / "issuer"))
