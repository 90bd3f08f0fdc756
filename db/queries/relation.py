"""One declaration per relation: what to read for many parents at once. Loading and caching are the schema's."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    TableValuedAlias,
    Uuid,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

from db.session import Bound, Read
from db.statements import Prepared, given

Ordering = ColumnElement[Any] | InstrumentedAttribute[Any]
Bind = Callable[[str], BindParameter[Any]]
"""The parameter of a statement that stands for what is called so."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which children are wanted: those that fit every field that is not None. Each noun has its own fields."""

    @classmethod
    def conditions(cls, names: Collection[str], bind: Bind) -> Sequence[ColumnElement[bool]]:
        """What fits the fields of these names; their values are parameters."""
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """Those of its parameters, by the names of the fields."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def shape(self) -> "Narrowing":
        return type(self), tuple(self.values())


Narrowing = tuple[type[Wanted], tuple[str, ...]]
"""What a list is narrowed by, without the values."""


def narrowed(children: Read, by: Narrowing | None, prefix: str = "") -> Read:
    """Only those that are wanted. The parameters are called `wanted_…`, after `prefix`."""
    if by is None:
        return children
    kind, names = by
    return children.where(*kind.conditions(names, lambda name: given(f"{prefix}wanted_{name}")))


def narrowing(wanted: Wanted | None, prefix: str = "") -> dict[str, Any]:
    """The values of the parameters of `narrowed`."""
    return {f"{prefix}wanted_{name}": value for name, value in wanted.values().items()} if wanted else {}


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

    def of(self, parents: Sequence[UUID]) -> Bound:
        """One statement for the children of all `parents`, in order; the column `key` names each one's parent."""
        return bound(_children(self, many=len(parents) != 1), parents, size=self.limit)

    def slices(self, children: Read, order_by: Sequence[Ordering], *, many: bool) -> Read:
        """The first `size` of these children of each of `parents`. Along an index on key and order it reads no others.

        Unless `many`, of the only one, `parent`.
        """
        size = bindparam("size", type_=Integer(), required=True)
        if not many:
            return children.where(self.key == given("parent")).order_by(*order_by).limit(size)
        parent = _each_parent()
        rank = func.row_number().over(order_by=order_by).label(None)
        ranked = children.add_columns(rank).where(self.key == parent.c.id).order_by(*order_by).limit(size)
        page = ranked.lateral("page")
        *columns, place = page.c
        return select(*columns).select_from(parent.join(page, true())).order_by(place)

    def count(self, parents: Sequence[UUID], wanted: Wanted | None = None) -> Bound:
        """How many children, of those wanted, each parent has, as `parent` and `children`."""
        return _count(self, wanted.shape if wanted else None)(parents=list(parents), **narrowing(wanted))


def bound(prepared: Prepared, parents: Sequence[UUID], **values: Any) -> Bound:
    """A statement of `Relation.slices` for these parents."""
    return prepared(parent=parents[0], **values) if len(parents) == 1 else prepared(parents=list(parents), **values)


# Bounded for good measure: there are as many as there are relations and filters in the code.
@lru_cache(maxsize=256)
def _children(relation: Relation, *, many: bool) -> Prepared:
    return Prepared(relation.slices(relation.children, relation.order_by, many=many))


@lru_cache(maxsize=1024)
def _count(relation: Relation, wanted: Narrowing | None) -> Prepared:
    parent = _each_parent()
    counted = narrowed(relation.children, wanted).with_only_columns(func.count())
    children = counted.where(relation.key == parent.c.id).scalar_subquery()
    return Prepared(select(parent.c.id.label("parent"), children.label("children")))


def _each_parent() -> TableValuedAlias:
    parents = bindparam("parents", type_=ARRAY(Uuid()), required=True)
    return func.unnest(parents).table_valued("id").render_derived(name="parents")
