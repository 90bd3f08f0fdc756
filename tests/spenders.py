"""Accounts that spend and give back, under plans whose limits are soon reached. What must hold is for the tests."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

import clock
from db.models import Counter, LedgerEntry, User, new_id
from db.session import Database
from domain import usage
from domain.actor import Actor, Standing
from domain.plans import Feature, Plan, Plans

MESSAGES, PORTFOLIOS, IMPORT = "aiMessages", "portfolios", "positionImport"
FEATURES = {
    MESSAGES: Feature(MESSAGES, "metered", "AI messages", "AI message"),
    PORTFOLIOS: Feature(PORTFOLIOS, "count", "Portfolios", "portfolio"),
    IMPORT: Feature(IMPORT, "switch", "Import", "import"),
}


def plan(tier: str, limit: int | None, imports: int | None = None) -> Plan:
    return Plan(tier, tier, (), {MESSAGES: limit, PORTFOLIOS: limit, IMPORT: imports})


TIERS = (plan("free", 2, 0), plan("paid", 5), plan("enterprise", None))
PLANS = Plans(FEATURES, TIERS, TIERS[0], None)


def at(moment: datetime) -> None:
    clock.reset()
    clock.move(moment - clock.now())


async def account(database: Database) -> UUID:
    """An account that nobody has signed in to."""
    user_id, now = new_id(), clock.now()
    columns = {"full_name_source": "provider", "username_source": "placeholder", "tier": "free"}
    times = dict.fromkeys(("trial_ends_at", "created_at", "updated_at"), now)
    async with database.transaction() as session:
        username = f"u{user_id.hex[:28]}"
        session.add(
            User(id=user_id, username=username, email_verified=False, invite_validated=True, **columns, **times)
        )
    return user_id


class Spender:
    """An account with a tier, each of whose deeds is a transaction of its own."""

    def __init__(self, database: Database, user_id: UUID, tier: str = "free", **standing: Any) -> None:
        self.database = database
        self.actor = Actor(user_id, Standing(tier, None, **({"invited": True} | standing)), None)

    async def spend(self, feature: str = MESSAGES, paid_for: UUID | None = None) -> UUID:
        made = paid_for or new_id()
        async with self.database.transaction() as session:
            await usage.spend(session, PLANS, self.actor, feature, made)
        return made

    async def give_back(self, paid_for: UUID) -> bool:
        async with self.database.transaction() as session:
            return await usage.give_back(session, paid_for)

    async def adjust(self, amount: int, feature: str = MESSAGES) -> int:
        async with self.database.transaction() as session:
            return await usage.adjust(session, PLANS, self.actor, feature, amount, reason="test")


async def counters(database: Database, user_id: UUID) -> dict[Any, int]:
    """What is used in each period, of all features; the ledger adds up to the same."""
    async with database.transaction() as session:
        used = select(Counter.period, func.sum(Counter.used)).where(Counter.user_id == user_id)
        moved = select(LedgerEntry.period, func.sum(LedgerEntry.amount)).where(LedgerEntry.user_id == user_id)
        found = {period: int(total) for period, total in await session.execute(used.group_by(Counter.period))}
        added = {period: int(total) for period, total in await session.execute(moved.group_by(LedgerEntry.period))}
    assert found == added
    return found
