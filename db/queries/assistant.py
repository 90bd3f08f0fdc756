"""What the assistant reads that nobody else does."""

from sqlalchemy import func

from db.models import Position
from db.queries.portfolios import POSITIONS_OF_PORTFOLIO
from db.queries.relation import Relation

_COST_BASIS = POSITIONS_OF_PORTFOLIO.children.selected_columns["cost_basis"]

LARGEST_OF_PORTFOLIO = Relation(
    children=POSITIONS_OF_PORTFOLIO.children,
    key=Position.portfolio_id,
    order_by=(func.abs(_COST_BASIS).desc(), Position.id),
    limit=5,
)
