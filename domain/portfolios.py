"""Portfolios: making, changing and deleting them, and what an import changes. How a file is read is not here."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import clock
import errors
from db import queries
from db.models import Portfolio, new_id
from db.session import Row, Session
from domain import usage
from domain.actor import Actor
from domain.decisions import Quota
from domain.plans import Plans
from domain.portfolios_csv import Lot, Parsed

MAX_POSITIONS = 50_000
"""Of one portfolio."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import changed, or would change; `unchanged` rows of the file were there already."""

    added: int
    removed: int
    unchanged: int
    ignored_columns: list[str]


async def create(
    session: Session, plans: Plans, actor: Actor, *, name: str, description: str | None, currency: str
) -> tuple[UUID, Quota]:
    """The id of a new portfolio, which is paid for in this transaction, and how many there are with it."""
    portfolio_id, now = new_id(), clock.now()
    quota = await usage.spend(session, plans, actor, "portfolios", portfolio_id)
    session.add(
        Portfolio(
            id=portfolio_id,
            user_id=actor.user_id,
            name=name,
            description=description,
            currency=currency,
            version=1,
            created_at=now,
            updated_at=now,
            position_count=0,
            cost_basis=Decimal(0),
        )
    )
    await session.flush()
    return portfolio_id, quota


async def update(
    session: Session, actor: Actor, portfolio_id: UUID, changes: Mapping[str, Any], *, version: int | None
) -> None:
    """Change what `changes` names. `version`: what the caller has seen; `Conflict` when it has changed since."""
    portfolio = await _own(session, actor, portfolio_id)
    if version is not None and version != portfolio.version:
        raise errors.Conflict(
            f"The portfolio has changed: it is at version {portfolio.version}, not {version}. Read it and try again."
        )
    for name, value in changes.items():
        setattr(portfolio, name, value)
    portfolio.version += 1
    portfolio.updated_at = clock.now()


async def delete(session: Session, actor: Actor, portfolio_id: UUID) -> None:
    """Remove a portfolio with its positions, and give back what it counted for."""
    await _own(session, actor, portfolio_id)
    await queries.portfolios.delete_portfolio(session, portfolio_id)
    await usage.give_back(session, portfolio_id)


async def import_positions(
    session: Session, actor: Actor, portfolio_id: UUID, file: Parsed, *, replace: bool, dry_run: bool
) -> Imported:
    """Bring the positions of a portfolio in line with a broker's file, which has no faults.

    Rows are matched whole, as often as they occur: a lot that is there twice and in the file three times is added
    once. Without `replace` what the file does not have stays. What matches keeps its id.
    """
    # Two imports at once wait for each other here, so that each sees what the other has done.
    portfolio = await _own(session, actor, portfolio_id, lock=not dry_run)
    there = await queries.portfolios.lots(session, portfolio_id)
    # In a thread, as reading the file was: others want to be served meanwhile.
    added, unmatched = await asyncio.to_thread(_difference, there, file.lots)
    removed = unmatched if replace else []
    total = len(there) + len(added) - len(removed)
    if total > MAX_POSITIONS:
        raise errors.Conflict(f"A portfolio holds at most {MAX_POSITIONS} positions; this would make it {total}.")
    if not dry_run:
        await _apply(session, portfolio, added, removed)
    return Imported(len(added), len(removed), len(file.lots) - len(added), file.ignored_columns)


def _difference(there: Sequence[Row], lots: Sequence[Lot]) -> tuple[list[Lot], list[UUID]]:
    """The lots that are not there yet, in their order, and the ids of the positions that no lot matches."""
    ids: defaultdict[tuple[Any, ...], list[UUID]] = defaultdict(list)
    for position_id, *values in reversed(there):
        ids[tuple(values)].append(position_id)
    added = []
    for lot in lots:
        if matching := ids.get(lot):
            matching.pop()
        else:
            added.append(lot)
    return added, [position_id for unmatched in ids.values() for position_id in unmatched]


async def _apply(session: Session, portfolio: Portfolio, added: Sequence[Lot], removed: Sequence[UUID]) -> None:
    if removed:
        await queries.portfolios.remove(session, removed)
    if added:
        await queries.portfolios.add(session, portfolio.id, [new_id() for _ in added], added)
    if added or removed:
        portfolio.position_count, portfolio.cost_basis = await queries.portfolios.totals(session, portfolio.id)
        portfolio.updated_at = clock.now()


async def _own(session: Session, actor: Actor, portfolio_id: UUID, *, lock: bool = True) -> Portfolio:
    portfolio = await queries.portfolios.own(session, actor.user_id, portfolio_id, lock=lock)
    if portfolio is None:
        raise errors.NotFound("You have no such portfolio.")
    return portfolio
