"""One declaration per relation: what to read for many parents at once. Loading and caching are the schema's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute

from db.session import Read


@dataclass(frozen=True, eq=False, slots=True)
class Relation:
    """The children of a parent: their columns, `key` that holds the parent's id, their order, and how many at most.

    A parent is only ever known by a read that was bound to its owner, so the batch needs no owner of its own.
    """

    children: Read
    key: InstrumentedAttribute[UUID]
    order_by: tuple[ColumnElement[Any], ...]
    limit: int

    def of(self, parents: Sequence[UUID]) -> Read:
        """One statement for the children of all `parents`, in order; the column `key` names each one's parent."""
        rank = func.row_number().over(partition_by=self.key, order_by=self.order_by).label("rank")
        ranked = self.children.add_columns(rank).where(self.key.in_(parents)).subquery()
        columns = [column for column in ranked.c if column.name != "rank"]
        return select(*columns).where(ranked.c.rank <= self.limit).order_by(ranked.c.rank)
