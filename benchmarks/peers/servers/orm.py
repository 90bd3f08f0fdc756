"""What contestants on SQLAlchemy's ORM ask of it: entities, in a session of the request."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.peers.servers.world import POOL, World
from db.models import UNLIMITED, Counter, Identity, LedgerEntry, Portfolio, Position, Scan, User, new_id


def sessions(world: World) -> async_sessionmaker[AsyncSession]:
    connect = {"dsn": world.database_url, "server_settings": {"timezone": "UTC"}}
    engine = create_async_engine(
        "postgresql+asyncpg://", connect_args=connect, pool_size=POOL, max_overflow=0, pool_timeout=60
    )
    return async_sessionmaker(engine, expire_on_commit=False)


async def user(session: AsyncSession, issuer: str, subject: str) -> User | None:
    """The account of a token's subject, if it is in good standing."""
    found = select(User).join(Identity, Identity.user_id == User.id)
    found = found.where(Identity.issuer == issuer, Identity.subject == subject, Identity.deleted_at.is_(None))
    return await session.scalar(found.where(User.disabled_at.is_(None), User.deleted_at.is_(None)))


async def messages_used(session: AsyncSession, user_id: UUID) -> int:
    counter = await session.get(Counter, (user_id, "aiMessages", datetime.now(UTC).date().replace(day=1)))
    return counter.used if counter else 0


async def portfolio_count(session: AsyncSession, user_id: UUID) -> int:
    return await _count(session, Portfolio.user_id == user_id)


async def scan_count(session: AsyncSession, user_id: UUID) -> int:
    return await _count(session, Scan.user_id == user_id)


async def _count(session: AsyncSession, where: ColumnElement[bool]) -> int:
    return await session.scalar(select(func.count()).where(where)) or 0


async def scans(session: AsyncSession, user_id: UUID, limit: int) -> Sequence[Scan]:
    """The newest first."""
    newest = select(Scan).where(Scan.user_id == user_id).order_by(Scan.created_at.desc(), Scan.id.desc())
    return (await session.scalars(newest.limit(limit))).all()


async def portfolios(session: AsyncSession, user_id: UUID, limit: int) -> Sequence[Portfolio]:
    """The oldest first."""
    return (
        await session.scalars(select(Portfolio).where(Portfolio.user_id == user_id).order_by(Portfolio.id).limit(limit))
    ).all()


async def positions(session: AsyncSession, portfolio_ids: Sequence[UUID]) -> dict[UUID, list[Position]]:
    """Those of each portfolio, the newest first."""
    found: dict[UUID, list[Position]] = {one: [] for one in portfolio_ids}
    order = (Position.entry_date.desc(), Position.id.desc())
    for row in await session.scalars(select(Position).where(Position.portfolio_id.in_(portfolio_ids)).order_by(*order)):
        found[row.portfolio_id].append(row)
    return found


async def add_scan(session: AsyncSession, user_id: UUID, told: dict[str, Any]) -> Scan:
    """A scan and what pays for it, committed."""
    now = datetime.now(UTC)
    lasted = (told["finished_at"] - told["started_at"]).total_seconds() * 1_000
    nothing = dict.fromkeys(("critical", "high", "medium", "low", "info", "suppressed"), 0)
    scan = Scan(id=new_id(), user_id=user_id, **told, **nothing, duration_ms=int(lasted), created_at=now)
    spent = LedgerEntry(
        paid_for=scan.id, kind="spend", user_id=user_id, feature="scans", period=now.date().replace(day=1)
    )
    spent.amount, spent.limit_then, spent.created_at = 1, UNLIMITED, now
    session.add_all([scan, spent])
    await session.commit()
    return scan
