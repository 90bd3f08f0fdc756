"""Pages of a relation: windows over its order, and the cursors that name places in it. Page sizes are the schema's."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    SmallInteger,
    UnaryExpression,
    and_,
    bindparam,
    func,
    or_,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeEngine

import spelling
from db import composed
from db.queries.relation import Narrowing, Ordering, Relation, Wanted, bound, narrowed, narrowing
from db.session import Bound, Read, Row
from db.statements import Prepared

Position = tuple[Any, ...]
"""The values of the order's columns at one place in it."""

_MAX_CURSOR = 2_000
_DIGITS = set("-.0123456789")
_KINDS = (UUID, datetime, date, Decimal, int, str, bool)


@dataclass(frozen=True, slots=True)
class Window:
    """The first `size` places, or when `backwards` the last, of those after one place and before another.

    Of a list narrowed to what is `wanted`.
    """

    size: int
    backwards: bool = False
    after: Position | None = None
    before: Position | None = None
    wanted: Wanted | None = None

    @property
    def shape(self) -> "Shape":
        wanted = self.wanted.shape if self.wanted else None
        return Shape(self.backwards, self.after is not None, self.before is not None, wanted)

    def values(self, prefix: str = "") -> dict[str, Any]:
        """Of the parameters of a statement of this shape, each called after `prefix`."""
        found = {f"{prefix}size": self.size + 1, **narrowing(self.wanted, prefix)}
        for name, place in (("after", self.after), ("before", self.before)):
            found |= {f"{prefix}{name}_{number}": value for number, value in enumerate(place or ())}
        return found


class Shape(NamedTuple):
    """A window without its values: those of one shape are read by one statement."""

    backwards: bool
    after: bool
    before: bool
    wanted: Narrowing | None


@dataclass(frozen=True, slots=True)
class _Term:
    column: ColumnElement[Any]
    name: str
    descending: bool

    def ordered(self, *, backwards: bool) -> ColumnElement[Any]:
        return self.column.desc() if self.descending is not backwards else self.column.asc()


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a relation with pages: selected columns that are never null, the last one unique.

    `tag` stands for the relation and its order, so that a cursor of another list is told apart.
    """

    relation: Relation
    terms: tuple[_Term, ...]
    tag: str

    def window(self, parents: Sequence[UUID], window: Window) -> Bound:
        """One statement for this window of each parent, with one row more where there are more.

        Backwards windows come in reverse.
        """
        prepared = _window(self.relation, window.shape, many=len(parents) != 1)
        return bound(prepared, parents, **window.values())

    def within(self, shape: Shape, prefix: str = "") -> tuple[Read, list[ColumnElement[Any]]]:
        """The children that a window of this shape chooses from, and the order it takes them in."""
        children = narrowed(self.relation.children, shape.wanted, prefix)
        if shape.after:
            children = children.where(self._beyond(f"{prefix}after", backwards=False))
        if shape.before:
            children = children.where(self._beyond(f"{prefix}before", backwards=True))
        return children, [term.ordered(backwards=shape.backwards) for term in self.terms]

    def composed_cursor(self, row: Any) -> ColumnElement[str] | None:
        """`cursor` in SQL, of a row whose columns are called as those of the children; None where it cannot be."""
        return composed.cursor(self.tag, [row[term.name] for term in self.terms])

    def cursor(self, row: Row) -> str:
        """The place of a row: opaque, base64url without padding."""
        return self._encode(tuple(getattr(row, term.name) for term in self.terms))

    def position(self, cursor: str) -> Position | None:
        """Where a cursor points, or None for anything that `cursor` of this order does not make."""
        if len(cursor) > _MAX_CURSOR:
            return None
        try:
            _tag, *texts = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            values = [_read(term.column.type, text) for term, text in zip(self.terms, texts, strict=True)]
            # Only the one spelling, of this order: a cursor is compared, cached and logged as text by clients.
            return tuple(values) if self._encode(values) == cursor else None
        except (binascii.Error, ValueError, TypeError, ArithmeticError):
            return None

    def _encode(self, values: Sequence[Any]) -> str:
        parts = orjson.dumps([self.tag, *map(_written, values)])
        return base64.urlsafe_b64encode(parts).rstrip(b"=").decode()

    def _beyond(self, place: str, *, backwards: bool) -> ColumnElement[bool]:
        """After the place whose values are the parameters called so, or before it when `backwards`."""
        values = [
            bindparam(f"{place}_{number}", type_=term.column.type, required=True)
            for number, term in enumerate(self.terms)
        ]
        downwards = [term.descending is not backwards for term in self.terms]
        if len(set(downwards)) == 1:
            # As one comparison of rows, so that the index is entered at this very place.
            here, there = tuple_(*(term.column for term in self.terms)), tuple_(*values)
            return here < there if downwards[0] else here > there
        beyond: ColumnElement[bool] | None = None
        for term, value, down in reversed(list(zip(self.terms, values, downwards, strict=True))):
            past = term.column < value if down else term.column > value
            if beyond is not None:
                # Shorter than to ask for equality, and an index can be entered by it.
                bound = term.column <= value if down else term.column >= value
                past = and_(bound, or_(past, beyond))
            beyond = past
        assert beyond is not None
        return beyond


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a relation as a part of a larger statement: `engine.sql` asks for its pieces."""

    relation: Relation
    window: Window

    @property
    def shape(self) -> tuple[Relation, Shape]:
        return self.relation, self.window.shape

    @property
    def backwards(self) -> bool:
        return self.window.backwards

    @property
    def from_somewhere(self) -> bool:
        return self.window.after is not None

    @property
    def to_somewhere(self) -> bool:
        return self.window.before is not None

    def rows(self, parent: ColumnElement[UUID], prefix: str) -> Read:
        """Those of the window, for the parent that the expression stands for."""
        children, order_by = order_of(self.relation).within(self.window.shape, prefix)
        size = bindparam(f"{prefix}size", type_=Integer(), required=True)
        return children.where(self.relation.key == parent).order_by(*order_by).limit(size)

    def count(self, parent: ColumnElement[UUID], prefix: str) -> Read:
        """How many there are, whatever the window."""
        children = narrowed(self.relation.children, self.window.shape.wanted, prefix)
        return children.with_only_columns(func.count()).where(self.relation.key == parent)

    def cursor(self, row: Any) -> ColumnElement[str] | None:
        """Of a row, by its columns."""
        return order_of(self.relation).composed_cursor(row)

    def values(self, prefix: str) -> dict[str, Any]:
        """Of the parameters that begin with `prefix`; `page` is the size of the page."""
        return {f"{prefix}page": self.window.size, **self.window.values(prefix)}


@lru_cache(maxsize=1024)
def _window(relation: Relation, shape: Shape, *, many: bool) -> Prepared:
    children, order_by = order_of(relation).within(shape)
    return Prepared(relation.slices(children, order_by, many=many))


@cache
def order_of(relation: Relation) -> Order:
    """The order of a relation with pages; TypeError for one that is declared without such an order."""
    terms = tuple(_term(relation, clause) for clause in relation.order_by)
    last = terms[-1].column
    if not (isinstance(last, Column) and (last.primary_key or last.unique)):
        raise TypeError(f"{relation.key}: the order of pages ends with a unique column.")
    named = [str(relation.key.expression), *(f"{term.column} {term.descending}" for term in terms)]
    return Order(relation, terms, hashlib.sha256("|".join(named).encode()).hexdigest()[:8])


def _term(relation: Relation, ordering: Ordering) -> _Term:
    clause = ordering.expression if isinstance(ordering, InstrumentedAttribute) else ordering
    descending = isinstance(clause, UnaryExpression) and clause.modifier is operators.desc_op
    column: ColumnElement[Any] = clause.element if isinstance(clause, UnaryExpression) and clause.modifier else clause
    name = getattr(column, "key", None) or ""
    selected = relation.children.selected_columns.get(name)
    if selected is None or not selected.shares_lineage(column):
        raise TypeError(f"{relation.key}: pages are ordered by selected columns; {column} is none.")
    if getattr(column, "nullable", False):
        raise TypeError(f"{relation.key}: {column} may be null, so pages cannot be ordered by it.")
    if column.type.python_type not in _KINDS:
        raise TypeError(f"{relation.key}: {column} is of a type that cursors do not hold; give it one by `type_`.")
    return _Term(column, name, descending)


def _written(value: Any) -> str | int:
    """As Postgres could write it too: `trim_scale(numeric)::text`, the moment in UTC with six digits."""
    match value:
        case bool() | int() | str():
            return value
        case datetime():
            return spelling.moment(value)
        case date():
            return value.isoformat()
        case Decimal() if value.is_finite():
            return spelling.shortest(value)
        case UUID():
            return str(value)
    raise ValueError(f"A cursor cannot hold a {type(value).__name__}.")


def _read(kind: TypeEngine[Any], text: Any) -> Any:
    """The value of a column of this type; what is not of the one spelling shows when it is written again."""
    wanted = kind.python_type
    if wanted in (bool, int):
        bits = 64 if isinstance(kind, BigInteger) else 16 if isinstance(kind, SmallInteger) else 32
        if type(text) is not wanted or (isinstance(kind, Integer) and not -(2 ** (bits - 1)) <= text < 2 ** (bits - 1)):
            raise ValueError
        return text
    if not isinstance(text, str) or "\0" in text:
        raise ValueError
    if wanted in (datetime, date):
        return wanted.fromisoformat(text)
    if wanted is Decimal and not set(text) <= _DIGITS:
        raise ValueError  # 1e999999999 is short, and would be a gigabyte when it is written again
    return wanted(text)
