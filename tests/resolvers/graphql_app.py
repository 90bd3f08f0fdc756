"""A small schema behind the real endpoint: fields that answer, fail, wait, and a mutation that counts its effects."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.scalars import JSON

import errors
from engine import Engine
from resolvers.endpoint import GraphQLEndpoint
from resolvers.incoming import Incoming


@dataclass
class Probe:
    """What the resolvers did; the context of every request."""

    effects: int = 0
    started: int = 0
    cancelled: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float, cleanup: float = 0.01) -> None:
        """A resolver's wait, whose end after cancelling takes a moment, as a rollback does."""
        self.started += 1
        self.began.set()
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(cleanup)
            self.cancelled += 1
            raise


Info = strawberry.Info[Probe, None]


@strawberry.input
class NoteInput:
    text: str
    times: int = 1
    tags: list[str] = strawberry.field(default_factory=list)


@strawberry.type
class Person:
    name: str = "Ada"

    @strawberry.field
    async def friend(self) -> "Person":
        await asyncio.sleep(0)
        return Person()

    @strawberry.field
    def mentor(self) -> "Person":
        return Person()


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def person(self) -> Person:
        return Person()

    @strawberry.field
    def echo(self, value: JSON) -> JSON:
        return value

    @strawberry.field
    def note(self, input: NoteInput) -> str:
        return input.text

    @strawberry.field
    async def slow(self, info: Info, seconds: float = 30, cleanup: float = 0.01) -> str | None:
        await info.context.wait(seconds, cleanup)
        return "done"

    @strawberry.field
    def crash(self) -> str | None:
        raise RuntimeError("relation users: password=hunter2")

    @strawberry.field
    def crash_root(self) -> str:
        raise RuntimeError("relation users: password=hunter2")

    @strawberry.field
    async def missing(self) -> str | None:
        raise errors.NotFound("There is no such note.")

    @strawberry.field
    def limited(self, wait: int) -> str | None:
        raise errors.RateLimited("Too many tries.", wait)

    @strawberry.field
    def chained(self) -> str | None:
        raise RuntimeError("wrapped") from errors.Forbidden("Not with this key.")

    @strawberry.field
    def unavailable(self) -> str | None:
        raise errors.ServiceUnavailable("The database is out of reach.") from OSError("10.0.0.7 refused")

    @strawberry.field
    def too_big(self) -> JSON:
        return JSON({"count": 2**70})

    @strawberry.field
    def wrong_type(self) -> int | None:
        return 2**40


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self, info: Info) -> int:
        info.context.effects += 1
        return info.context.effects

    @strawberry.mutation
    async def touch_slowly(self, info: Info) -> int:
        await info.context.wait(30)
        info.context.effects += 1
        return info.context.effects


schema = strawberry.Schema(query=Query, mutation=Mutation)


def make_app(
    probe: Probe,
    make_context: Callable[[Incoming], Awaitable[object]] | None = None,
    engine: Engine | None = None,
    **options: Any,
) -> Starlette:
    """The endpoint at /graphql, as the product routes it."""

    async def context_of(_request: Incoming) -> Probe:
        return probe

    options.setdefault("sender_of", lambda _context: "somebody")
    endpoint = GraphQLEndpoint(engine or Engine(schema), make_context or context_of, **options)
    return Starlette(routes=[Route("/graphql", endpoint)])


def client_of(app: Starlette) -> httpx.AsyncClient:
    """A client straight into the application; what escapes the application fails the test."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")


@contextlib.asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[int]:
    """The application on a real server; gives its port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving
