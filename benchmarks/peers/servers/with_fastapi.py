"""FastAPI: routes that return models of pydantic, from rows of the ORM, in a session of the request."""

from collections.abc import AsyncIterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.peers.servers import orm
from benchmarks.peers.servers.spelled import cursor, global_id
from benchmarks.peers.servers.world import Tokens, World, bearer
from db import models

_WORLD = World.told()
_TOKENS = Tokens(_WORLD)
_SESSIONS = orm.sessions(_WORLD)


class Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class Limits(Model):
    max_portfolios: int | None
    max_ai_messages: int | None
    ai_messages_used: int
    ai_messages_remaining: int | None
    ai_messages_reset_at: datetime


class Trial(Model):
    ends_at: datetime


class User(Model):
    id: str
    email: str | None
    full_name: str | None
    username: str
    tier: str
    invite_validated: bool
    created_at: datetime
    portfolio_count: int
    limits: Limits
    trial: Trial


class FindingCounts(Model):
    critical: int
    high: int
    medium: int
    low: int
    info: int


class Scan(Model):
    id: str
    tool: str
    target: str | None
    status: models.ScanStatus
    severity: models.Severity | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    finding_counts: FindingCounts


class ScanEdge(Model):
    cursor: str
    node: Scan


class PageInfo(Model):
    has_next_page: bool
    end_cursor: str | None


class Scans(Model):
    total_count: int
    page_info: PageInfo
    edges: list[ScanEdge]


class Position(Model):
    id: str
    symbol: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date
    investment_class: models.InvestmentClass


class PositionEdge(Model):
    node: Position


class Positions(Model):
    edges: list[PositionEdge]


class Portfolio(Model):
    id: str
    name: str
    currency: str
    positions: Positions


class PortfolioEdge(Model):
    node: Portfolio


class Portfolios(Model):
    edges: list[PortfolioEdge]


class NewScan(Model):
    tool: str
    target: str
    status: models.ScanStatus
    started_at: datetime
    finished_at: datetime


class CreatedScan(Model):
    id: str
    tool: str
    status: models.ScanStatus
    created_at: datetime


class Created(Model):
    scan: CreatedScan


async def session() -> AsyncIterator[AsyncSession]:
    async with _SESSIONS() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


async def current_user(request: Request, session: Session) -> models.User:
    user = await orm.user(session, _WORLD.issuer, _TOKENS.verify(bearer(request))[0])
    if user is None:
        raise HTTPException(401, "There is no such account.")
    return user


CurrentUser = Annotated[models.User, Depends(current_user)]


async def me(session: Session, user: CurrentUser) -> User:
    return User(
        id=global_id("User", user.id),
        email=user.email,
        full_name=user.full_name,
        username=user.username,
        tier=user.tier,
        invite_validated=user.invite_validated,
        created_at=user.created_at,
        portfolio_count=await orm.portfolio_count(session, user.id),
        limits=Limits(**_WORLD.limits_of(user.tier, await orm.messages_used(session, user.id))),
        trial=Trial(ends_at=user.trial_ends_at),
    )


async def scans(session: Session, user: CurrentUser, first: int) -> Scans:
    rows = await orm.scans(session, user.id, first + 1)
    edges = [ScanEdge(cursor=cursor(_WORLD.scans_tag, row.created_at, row.id), node=_scan(row)) for row in rows[:first]]
    page = PageInfo(has_next_page=len(rows) > first, end_cursor=edges[-1].cursor if edges else None)
    return Scans(total_count=await orm.scan_count(session, user.id), page_info=page, edges=edges)


async def portfolios(session: Session, user: CurrentUser, first: int, positions: int) -> Portfolios:
    rows = await orm.portfolios(session, user.id, first)
    of = await orm.positions(session, [row.id for row in rows])
    return Portfolios(
        edges=[
            PortfolioEdge(
                node=Portfolio(
                    id=global_id("Portfolio", row.id),
                    name=row.name,
                    currency=row.currency,
                    positions=Positions(edges=[PositionEdge(node=_position(one)) for one in of[row.id][:positions]]),
                )
            )
            for row in rows
        ]
    )


async def create_scan(session: Session, user: CurrentUser, new: NewScan) -> Created:
    row = await orm.add_scan(session, user.id, new.model_dump())
    return Created(scan=CreatedScan(**_named("Scan", row)))


def _scan(row: models.Scan) -> Scan:
    counts = FindingCounts.model_validate(row)
    return Scan(**_named("Scan", row), finding_counts=counts)


def _position(row: models.Position) -> Position:
    return Position(**_named("Position", row))


def _named(kind: str, row: Any) -> dict[str, Any]:
    """The columns of a row, with the id that clients see."""
    return {**vars(row), "id": global_id(kind, row.id)}


app = FastAPI()
app.add_api_route("/me", me)
app.add_api_route("/scans", scans)
app.add_api_route("/portfolios", portfolios)
app.add_api_route("/scans", create_scan, methods=["POST"])
