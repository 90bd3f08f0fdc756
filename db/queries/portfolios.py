"""Statements of portfolios and their positions."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Label,
    Numeric,
    SQLColumnExpression,
    any_,
    case,
    delete,
    func,
    literal,
    select,
)

from db.models import InvestmentClass, Portfolio, Position
from db.queries.bulk import insert_children
from db.queries.relation import Relation
from db.session import Bound, Row, Session
from db.statements import Prepared, among, given

OPTION_MULTIPLIER = 100
"""Shares in an option contract; its prices are per share."""

_COST_BASIS = (
    Position.quantity
    * Position.entry_price
    * case((Position.investment_class == InvestmentClass.OPTION, OPTION_MULTIPLIER), else_=1)
)


def _plain(number: SQLColumnExpression[Any], name: str) -> Label[Any]:
    """Without the zeros that only the width of the column adds."""
    return func.trim_scale(number, type_=Numeric()).label(name)


_PORTFOLIO = (
    Portfolio.id,
    Portfolio.user_id,
    Portfolio.name,
    Portfolio.description,
    Portfolio.currency,
    Portfolio.version,
    Portfolio.position_count,
    _plain(Portfolio.cost_basis, "cost_basis"),
    Portfolio.created_at,
    Portfolio.updated_at,
)
_POSITION = (
    Position.id,
    Position.portfolio_id,
    Position.symbol,
    _plain(Position.quantity, "quantity"),
    _plain(Position.entry_price, "entry_price"),
    Position.entry_date,
    Position.investment_class,
    _plain(Position.strike_price, "strike_price"),
    Position.option_type,
    Position.expiration,
    Position.exit_date,
    _plain(Position.exit_price, "exit_price"),
    Position.notes,
    _plain(_COST_BASIS, "cost_basis"),
)
_LOT = (
    Position.symbol,
    Position.quantity,
    Position.entry_price,
    Position.entry_date,
    Position.investment_class,
    Position.strike_price,
    Position.option_type,
    Position.expiration,
    Position.exit_date,
    Position.exit_price,
    Position.notes,
)

PORTFOLIOS_OF_USER = Relation(children=select(*_PORTFOLIO), key=Portfolio.user_id, order_by=(Portfolio.id,))
DEFAULT_OF_USER = Relation(children=select(*_PORTFOLIO), key=Portfolio.user_id, order_by=(Portfolio.id,), limit=1)
POSITIONS_OF_PORTFOLIO = Relation(
    children=select(*_POSITION),
    key=Position.portfolio_id,
    order_by=(Position.entry_date.desc(), Position.id.desc()),
)
LARGEST_OPEN_OF_PORTFOLIO = Relation(
    children=select(*_POSITION).where(Position.exit_date.is_(None)),
    key=Position.portfolio_id,
    order_by=(func.abs(_COST_BASIS).desc(), Position.id),
    limit=5,
)


_OWN = Prepared(select(*_PORTFOLIO).where(Portfolio.user_id == given("user_id"), Portfolio.id == among("ids")))
_OWN_POSITIONS = Prepared(
    select(*_POSITION)
    .join(Portfolio, Portfolio.id == Position.portfolio_id)
    .where(Portfolio.user_id == given("user_id"), Position.id == among("ids"))
)


def portfolios(user_id: UUID, portfolio_ids: Collection[UUID]) -> Bound:
    """Those of these portfolios that are this user's, in no order."""
    return _OWN(user_id=user_id, ids=list(portfolio_ids))


def positions(user_id: UUID, position_ids: Collection[UUID]) -> Bound:
    """Those of these positions that are this user's, in no order."""
    return _OWN_POSITIONS(user_id=user_id, ids=list(position_ids))


async def own(session: Session, user_id: UUID, portfolio_id: UUID, *, lock: bool) -> Portfolio | None:
    """A portfolio of this user, if wanted locked until the transaction ends: one at a time changes its positions."""
    statement = select(Portfolio).where(Portfolio.user_id == user_id, Portfolio.id == portfolio_id)
    return await session.scalar(statement.with_for_update() if lock else statement)


async def hold(session: Session, user_id: UUID, portfolio_id: UUID) -> bool:
    """Whether this user has such a portfolio; if so, it cannot be deleted until the transaction ends."""
    statement = select(Portfolio.id).where(Portfolio.user_id == user_id, Portfolio.id == portfolio_id)
    return await session.scalar(statement.with_for_update(read=True, key_share=True)) is not None


async def lots(session: Session, portfolio_id: UUID) -> Sequence[Row]:
    """The positions of a portfolio: their ids, and whole as a file would have them."""
    statement = select(Position.id, *_LOT).where(Position.portfolio_id == portfolio_id).order_by(Position.id)
    return (await session.execute(statement)).all()


async def add(session: Session, portfolio_id: UUID, ids: Sequence[UUID], rows: Sequence[Sequence[Any]]) -> None:
    """Insert positions as `lots` has them, in one statement however many there are."""
    await insert_children(
        session,
        Position.portfolio_id,
        portfolio_id,
        (Position.id, *_LOT),
        [(key, *row) for key, row in zip(ids, rows, strict=True)],
    )


async def remove(session: Session, position_ids: Collection[UUID]) -> None:
    these = any_(literal(list(position_ids), ARRAY(Position.id.type)))
    await session.execute(delete(Position).where(Position.id == these).execution_options(synchronize_session=False))


async def totals(session: Session, portfolio_id: UUID) -> tuple[int, Decimal]:
    """How many positions a portfolio has, and their cost basis."""
    total = func.coalesce(func.sum(_COST_BASIS), 0)
    statement = select(func.count(), total).where(Position.portfolio_id == portfolio_id)
    number, cost_basis = (await session.execute(statement)).one()
    return number, cost_basis


async def delete_portfolio(session: Session, portfolio_id: UUID) -> None:
    """Remove a portfolio that the caller has locked, with its positions."""
    gone = delete(Portfolio).where(Portfolio.id == portfolio_id)
    await session.execute(gone.execution_options(synchronize_session=False))
