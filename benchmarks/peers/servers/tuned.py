"""Strawberry tuned by its public API: documents and validations cached, orjson, records of asyncpg, cached tokens."""

import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import orjson
import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from benchmarks.peers.servers import world
from benchmarks.peers.servers.rows import Data, Rows
from benchmarks.peers.servers.world import Tokens, World
from db.models import InvestmentClass, ScanStatus, Severity

_WORLD = World.told()
_TOKENS = Tokens(_WORLD)
_ROWS = Rows(_WORLD)

for _kind in (InvestmentClass, ScanStatus, Severity):
    strawberry.enum(_kind)


@dataclass(slots=True)
class Context:
    subject: str
    positions: DataLoader[tuple[UUID, int], Data]


Info = strawberry.Info[Context, None]
N = TypeVar("N")


@strawberry.type
class Edge(Generic[N]):
    node: N
    cursor: str


@strawberry.type
class PageInfo:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class Limits:
    max_portfolios: int | None
    max_ai_messages: int | None
    ai_messages_used: int
    ai_messages_remaining: int | None
    ai_messages_reset_at: datetime


@strawberry.type
class Trial:
    ends_at: datetime


@strawberry.type
class User:
    id: strawberry.ID
    email: str | None
    full_name: str | None
    username: str
    tier: str
    invite_validated: bool
    created_at: datetime
    trial: Trial
    limits: Limits

    @strawberry.field
    async def portfolio_count(self) -> int:
        return await _ROWS.portfolio_count(_data(self)["key"])


@strawberry.type
class FindingCounts:
    critical: int
    high: int
    medium: int
    low: int
    info: int


@strawberry.type
class Scan:
    id: strawberry.ID
    tool: str
    target: str | None
    status: ScanStatus
    severity: Severity | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    finding_counts: FindingCounts


@strawberry.type
class ScanConnection:
    page_info: PageInfo
    edges: list[Edge[Scan]]

    @strawberry.field
    async def total_count(self, info: Info) -> int:
        return await _ROWS.scan_count(info.context.subject)


@strawberry.type
class Position:
    id: strawberry.ID
    symbol: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date
    investment_class: InvestmentClass


@strawberry.type
class NodeEdge(Generic[N]):
    node: N


@strawberry.type
class Nodes(Generic[N]):
    edges: list[NodeEdge[N]]


@strawberry.type
class Portfolio:
    id: strawberry.ID
    name: str
    currency: str

    @strawberry.field
    async def positions(self, info: Info, first: int) -> Nodes[Position]:
        return cast("Nodes[Position]", await info.context.positions.load((_data(self)["key"], first)))


def _data(instance: object) -> Data:
    """What stands for an instance of a type: resolvers return data, and fields are found in it by name."""
    return cast("Data", instance)


@strawberry.input
class CreateScanInput:
    tool: str
    target: str
    status: ScanStatus
    started_at: datetime
    finished_at: datetime


@strawberry.type
class CreateScanPayload:
    scan: Scan


@strawberry.type
class Query:
    @strawberry.field
    async def me(self, info: Info) -> User | None:
        return cast("User | None", await _ROWS.me(info.context.subject))

    @strawberry.field
    async def scans(self, info: Info, first: int) -> ScanConnection:
        return cast("ScanConnection", await _ROWS.scans(info.context.subject, first))

    @strawberry.field
    async def portfolios(self, info: Info, first: int) -> Nodes[Portfolio]:
        return cast("Nodes[Portfolio]", await _ROWS.portfolios(info.context.subject, first))


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_scan(self, info: Info, input: CreateScanInput) -> CreateScanPayload:
        return cast("CreateScanPayload", await _ROWS.create_scan(info.context.subject, vars(input)))


class Endpoint(GraphQL[Context, None]):
    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        return Context(world.subject(_TOKENS, request), DataLoader(load_fn=_ROWS.positions))

    def decode_json(self, data: str | bytes) -> Any:
        return orjson.loads(data)

    def encode_json(self, data: object) -> str | bytes:
        return orjson.dumps(data)


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    await _ROWS.open()
    yield
    await _ROWS.close()


schema = strawberry.Schema(
    Query,
    Mutation,
    config=StrawberryConfig(default_resolver=operator.getitem),
    extensions=[ParserCache, ValidationCache],
)
app = Starlette(routes=[Route("/graphql", Endpoint(schema))], lifespan=_lifespan)
