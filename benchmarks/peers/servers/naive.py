"""Strawberry as its documents show it: types made from rows of the ORM, its own ASGI view, a session per request."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Generic, TypeVar
from uuid import UUID

import strawberry
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import SchemaExtension

from benchmarks.peers.servers import orm
from benchmarks.peers.servers.spelled import cursor, global_id
from benchmarks.peers.servers.world import Tokens, World, bearer
from db.models import InvestmentClass, ScanStatus, Severity
from db.models import Portfolio as PortfolioRow
from db.models import Position as PositionRow
from db.models import Scan as ScanRow
from db.models import User as UserRow

_WORLD = World.told()
_TOKENS = Tokens(_WORLD)
_SESSIONS = orm.sessions(_WORLD)

for _kind in (InvestmentClass, ScanStatus, Severity):
    strawberry.enum(_kind)


@dataclass
class Context:
    subject: str
    session: AsyncSession = field(init=False)
    positions: DataLoader[UUID, list[PositionRow]] = field(init=False)

    async def user(self) -> UserRow:
        row = await orm.user(self.session, _WORLD.issuer, self.subject)
        if row is None:
            raise PermissionError("There is no such account.")
        return row


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
    key: strawberry.Private[UUID]
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
    async def portfolio_count(self, info: Info) -> int:
        return await orm.portfolio_count(info.context.session, self.key)

    @classmethod
    def of(cls, row: UserRow, used: int) -> "User":
        return cls(
            key=row.id,
            id=strawberry.ID(global_id("User", row.id)),
            email=row.email,
            full_name=row.full_name,
            username=row.username,
            tier=row.tier,
            invite_validated=row.invite_validated,
            created_at=row.created_at,
            trial=Trial(ends_at=row.trial_ends_at),
            limits=Limits(**_WORLD.limits_of(row.tier, used)),
        )


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

    @classmethod
    def of(cls, row: ScanRow) -> "Scan":
        return cls(
            id=strawberry.ID(global_id("Scan", row.id)),
            tool=row.tool,
            target=row.target,
            status=ScanStatus(row.status),
            severity=Severity(row.severity) if row.severity else None,
            started_at=row.started_at,
            finished_at=row.finished_at,
            created_at=row.created_at,
            finding_counts=FindingCounts(
                critical=row.critical, high=row.high, medium=row.medium, low=row.low, info=row.info
            ),
        )


@strawberry.type
class ScanConnection:
    key: strawberry.Private[UUID]
    page_info: PageInfo
    edges: list[Edge[Scan]]

    @strawberry.field
    async def total_count(self, info: Info) -> int:
        return await orm.scan_count(info.context.session, self.key)


@strawberry.type
class Position:
    id: strawberry.ID
    symbol: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date
    investment_class: InvestmentClass

    @classmethod
    def of(cls, row: PositionRow) -> "Position":
        return cls(
            id=strawberry.ID(global_id("Position", row.id)),
            symbol=row.symbol,
            quantity=row.quantity,
            entry_price=row.entry_price,
            entry_date=row.entry_date,
            investment_class=InvestmentClass(row.investment_class),
        )


@strawberry.type
class NodeEdge(Generic[N]):
    node: N


@strawberry.type
class Nodes(Generic[N]):
    edges: list[NodeEdge[N]]


@strawberry.type
class Portfolio:
    key: strawberry.Private[UUID]
    id: strawberry.ID
    name: str
    currency: str

    @strawberry.field
    async def positions(self, info: Info, first: int) -> Nodes[Position]:
        rows = await info.context.positions.load(self.key)
        return Nodes(edges=[NodeEdge(node=Position.of(row)) for row in rows[:first]])

    @classmethod
    def of(cls, row: PortfolioRow) -> "Portfolio":
        return cls(key=row.id, id=strawberry.ID(global_id("Portfolio", row.id)), name=row.name, currency=row.currency)


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
    async def me(self, info: Info) -> User:
        row = await info.context.user()
        return User.of(row, await orm.messages_used(info.context.session, row.id))

    @strawberry.field
    async def scans(self, info: Info, first: int) -> ScanConnection:
        user = await info.context.user()
        rows = await orm.scans(info.context.session, user.id, first + 1)
        edges = [
            Edge(node=Scan.of(row), cursor=cursor(_WORLD.scans_tag, row.created_at, row.id)) for row in rows[:first]
        ]
        page = PageInfo(has_next_page=len(rows) > first, end_cursor=edges[-1].cursor if edges else None)
        return ScanConnection(key=user.id, page_info=page, edges=edges)

    @strawberry.field
    async def portfolios(self, info: Info, first: int) -> Nodes[Portfolio]:
        user = await info.context.user()
        rows = await orm.portfolios(info.context.session, user.id, first)
        return Nodes(edges=[NodeEdge(node=Portfolio.of(row)) for row in rows])


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_scan(self, info: Info, input: CreateScanInput) -> CreateScanPayload:
        user = await info.context.user()
        return CreateScanPayload(scan=Scan.of(await orm.add_scan(info.context.session, user.id, vars(input))))


class Session(SchemaExtension):
    """Opens the session of the request, and the loader that works on it."""

    async def on_operation(self) -> AsyncIterator[None]:
        async with _SESSIONS() as session:

            async def load(keys: list[UUID]) -> list[list[PositionRow]]:
                return list((await orm.positions(session, keys)).values())

            context: Context = self.execution_context.context
            context.session, context.positions = session, DataLoader(load_fn=load)
            yield


class Endpoint(GraphQL[Context, None]):
    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        return Context(_TOKENS.verify(bearer(request))[0])


schema = strawberry.Schema(Query, Mutation, extensions=[Session])
app = Starlette(routes=[Route("/graphql", Endpoint(schema))])
