"""One declaration per relation: what to read for many parents at once. Loading and caching are the schema's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, TableValuedAlias, Uuid, func, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

from db.session import Read

Ordering = ColumnElement[Any] | InstrumentedAttribute[Any]


class Wanted(Protocol):
    """Which children are wanted; equal and hashable by its values, so that equal ones are read together."""

    def conditions(self) -> Sequence[ColumnElement[bool]]: ...

    def __hash__(self) -> int: ...


def narrowed(children: Read, wanted: Wanted | None) -> Read:
    """Only those that are wanted."""
    return children.where(*wanted.conditions()) if wanted else children


@dataclass(frozen=True, eq=False, slots=True)
class Relation:
    """The children of a parent: their columns, `key` that holds the parent's id, and their order.

    `limit` is how many a plain list has at most; pages have their own (`db.queries.paging`, which also says what an
    order must be for that). A parent is only ever known by a read that was bound to its owner, so the batch needs no
    owner of its own.
    """

    children: Read
    key: InstrumentedAttribute[UUID]
    order_by: tuple[Ordering, ...]
    limit: int = 100

    def of(self, parents: Sequence[UUID]) -> Read:
        """One statement for the children of all `parents`, in order; the column `key` names each one's parent."""
        return self.slices(parents, self.children, self.order_by, self.limit)

    def slices(self, parents: Sequence[UUID], children: Read, order_by: Sequence[Ordering], limit: int) -> Read:
        """The first `limit` of these children of each parent. Along an index on key and order it reads no others."""
        if len(parents) == 1:
            return children.where(self.key == parents[0]).order_by(*order_by).limit(limit)
        parent = _each(parents)
        rank = func.row_number().over(order_by=order_by).label(None)
        ranked = children.add_columns(rank).where(self.key == parent.c.id).order_by(*order_by).limit(limit)
        page = ranked.lateral("page")
        *columns, place = page.c
        return select(*columns).select_from(parent.join(page, true())).order_by(place)

    def count(self, parents: Sequence[UUID], wanted: Wanted | None = None) -> Read:
        """How many children, of those wanted, each parent has, as `parent` and `children`."""
        parent = _each(parents)
        counted = narrowed(self.children, wanted).with_only_columns(func.count())
        children = counted.where(self.key == parent.c.id).scalar_subquery()
        return select(parent.c.id.label("parent"), children.label("children"))


def _each(parents: Sequence[UUID]) -> TableValuedAlias:
    return func.unnest(literal(list(parents), ARRAY(Uuid()))).table_valued("id").render_derived(name="parents")
