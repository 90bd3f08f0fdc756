"""From a tree of what is selected to one statement that gives it as JSON: columns, parameters, nothing of the client's.

The keys of the answer are parameters as well, or names of the schema's.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Integer, Select, Text, Uuid, bindparam, cast, func, literal_column, select
from sqlalchemy import Column as TableColumn
from sqlalchemy.dialects.postgresql import JSON, aggregate_order_by
from sqlalchemy.types import TypeEngine

from engine.sql.declarations import Listing
from engine.sql.selecting import Column, Computed, Connection, Edges, NotComposable, Object, Part, Typename

Spelled = Callable[[ColumnElement[Any]], ColumnElement[Any]]
Scalars = Mapping[tuple[str, type[TypeEngine[Any]]], Spelled]
"""How a column of an SQL type is written for a scalar; what is not in it is not composed."""
Costly = Sequence[tuple[str, type[TypeEngine[Any]]]]
"""Those of them that are written once for each row. Cursors get the columns so written."""

_NOTHING = literal_column("'[]'::json", JSON())
_TRUE: ColumnElement[bool] = literal_column("true")
_FALSE: ColumnElement[bool] = literal_column("false")
_PLACE = "place_on_page"
_LAST = "last_on_page"


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a page as a part of the statement: their columns as declared, and as they are there.

    Unless they are `numbered`, they are just those of the page, in its order.
    """

    listing: Listing
    chosen: Select[Any]
    there: Any
    numbered: bool


@dataclass(slots=True)
class Composing:
    """Composes one statement. `listings` has that of each page, by its number; `keys` are filled meanwhile.

    `names` are those that columns may have, all of them declared in the schema.
    """

    scalars: Scalars
    costly: Costly
    listings: Sequence[Listing]
    names: frozenset[str]
    keys: dict[str, str] = field(default_factory=dict)
    objects: int = 0

    def statement(self, page: Connection) -> Select[Any]:
        """One row with one text, of the parameter `parent`.

        `NotComposable` where a column is not there, or not of a type that is known.
        """
        parent: ColumnElement[Any] = bindparam("parent", type_=Uuid(), required=True)
        return select(cast(self._page(page, parent, None), Text).label("json"))

    def column(self, page: Connection, parent: ColumnElement[Any], around: Any) -> ColumnElement[str]:
        """The same text as a column of a statement from `around`, for each of whose rows there is a `parent`."""
        return cast(self._page(page, parent, around), Text)

    def _page(self, page: Connection, parent: ColumnElement[Any], around: Any) -> ColumnElement[Any]:
        rows = self._rows(page, parent, around)
        parts: dict[str, ColumnElement[Any]] = {}
        for key, wanted in page.fields.items():
            if isinstance(wanted, Typename):
                parts[key] = self._text(wanted.name)
            elif isinstance(wanted, Edges):
                parts[key] = self._edges(wanted, rows)
            elif wanted is None:
                parts[key] = self._count(page, parent, around)
            else:
                names = {name: self._of_page_info(name, page.number, rows) for name in set(wanted.values())}
                parts[key] = self._json({inner: names[name] for inner, name in wanted.items()})
        answer = select(self._json(parts))
        if page.reads_rows:
            # One row of all of them, although there may be no aggregate in it: `pageInfo { hasPreviousPage }`.
            answer = answer.select_from(rows.there).having(_TRUE)
        return answer.scalar_subquery()

    def _rows(self, page: Connection, parent: ColumnElement[Any], around: Any) -> _Rows:
        listing, number = self.listings[page.number], page.number
        chosen = listing.rows(parent, f"p{number}_")
        if around is not None:
            chosen = chosen.correlate(around)
        there: Any = chosen.subquery(f"r{number}")
        if not page.tells_more and not listing.backwards:
            return _Rows(listing, chosen, there, numbered=False)
        place = func.row_number().over().label(_PLACE)
        last = func.least(func.count().over(), _size(number)).label(_LAST)
        # What is not asked for of these, Postgres leaves out.
        spelled = [
            self.scalars[scalar, kind](column).label(_spelled(column.key, scalar))
            for column in there.c
            for scalar, kind in self.costly
            if type(column.type) is kind
        ]
        return _Rows(listing, chosen, select(*there.c, *spelled, place, last).subquery(f"n{number}"), numbered=True)

    def _count(self, page: Connection, parent: ColumnElement[Any], around: Any) -> ColumnElement[Any]:
        count = self.listings[page.number].count(parent, f"p{page.number}_")
        return (count if around is None else count.correlate(around)).scalar_subquery()

    def _edges(self, edges: Edges, rows: _Rows) -> ColumnElement[Any]:
        parts: dict[str, ColumnElement[Any]] = {}
        for key, wanted in edges.fields.items():
            if isinstance(wanted, Typename):
                parts[key] = self._text(wanted.name)
            elif wanted is None:
                parts[key] = self._cursor(rows.listing, _Columns(rows.there.c, self.costly))
            else:
                parts[key] = self._object(wanted, rows)
        edge = self._row(parts, rows)
        if not rows.numbered:
            # In the order of the subquery, as Postgres' documentation of aggregates has it.
            return func.coalesce(func.json_agg(edge), _NOTHING, type_=JSON())
        place, last = rows.there.c[_PLACE], rows.there.c[_LAST]
        order = place.desc() if rows.listing.backwards else place.asc()
        listed = func.json_agg(aggregate_order_by(edge, order)).filter(place <= last)
        return func.coalesce(listed, _NOTHING, type_=JSON())

    def _of_page_info(self, name: str, number: int, rows: _Rows) -> ColumnElement[Any]:
        listing = rows.listing
        match name:
            case "hasNextPage":
                more = not listing.backwards
                return _TRUE if listing.to_somewhere else self._more(number) if more else _FALSE
            case "hasPreviousPage":
                return _TRUE if listing.from_somewhere else self._more(number) if listing.backwards else _FALSE
            case "startCursor":
                return self._cursor_at(rows, last=False)
            case "endCursor":
                return self._cursor_at(rows, last=True)
        raise NotComposable

    def _more(self, number: int) -> ColumnElement[bool]:
        return func.count() > _size(number)

    def _cursor_at(self, rows: _Rows, *, last: bool) -> ColumnElement[Any]:
        """Of the first or last row on the page: its columns are picked from all, so that it is encoded once."""
        columns = rows.there.c
        # Backwards, the first row on the page is the one that comes last in the direction of paging.
        at_end = last is not rows.listing.backwards
        here = columns[_PLACE] == (columns[_LAST] if at_end else 1)

        def pick(column: ColumnElement[Any]) -> ColumnElement[Any]:
            listed: Any = func.array_agg(column, type_=ARRAY(column.type))
            picked: ColumnElement[Any] = listed.filter(here)[1]
            return picked

        return self._cursor(rows.listing, _Picked(columns, pick))

    def _cursor(self, listing: Listing, row: Any) -> ColumnElement[Any]:
        found = listing.cursor(row)
        if found is None:
            raise NotComposable
        return found

    def _object(self, wanted: Object, rows: _Rows) -> ColumnElement[Any]:
        return self._row({key: self._part(part, rows) for key, part in wanted.fields.items()}, rows)

    def _row(self, parts: Mapping[str, ColumnElement[Any]], rows: _Rows) -> ColumnElement[Any]:
        """An object as a row, which Postgres writes a fifth sooner than one whose keys it has to look at each time.

        Its columns can only have names of the schema's; an alias of the client's may have to be a parameter.
        """
        if not self.names.issuperset(parts):
            return self._json(parts)
        self.objects += 1
        columns = [part.label(key) for key, part in parts.items()]
        # With a blank in its name, the row cannot be taken for a column.
        row = select(*columns).correlate(rows.there).subquery(f"object {self.objects}")
        return select(row.table_valued()).scalar_subquery()

    def _part(self, part: Part, rows: _Rows) -> ColumnElement[Any]:
        match part:
            case Typename(name):
                return self._text(name)
            case Column():
                return self._column(part, rows)
            case Computed(make, type_name):
                computed: ColumnElement[Any] = make(rows.there.c, type_name)
                return computed
            case Object():
                return self._object(part, rows)
            case Connection():
                return self._page(part, rows.there.c["id"], rows.there)

    def _column(self, part: Column, rows: _Rows) -> ColumnElement[Any]:
        declared = rows.chosen.selected_columns.get(part.name)
        if declared is None or (isinstance(declared, TableColumn) and declared.nullable and not part.nullable):
            raise NotComposable
        column: ColumnElement[Any] = rows.there.c[part.name]
        if part.scalar is None:
            if not isinstance(declared.type, Text):
                raise NotComposable
            return column
        spelled = self.scalars.get((part.scalar, type(declared.type)))
        if spelled is None:
            raise NotComposable
        already = rows.there.c.get(_spelled(part.name, part.scalar))
        return spelled(column) if already is None else already

    def _json(self, parts: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
        arguments: list[ColumnElement[Any]] = []
        for key, part in parts.items():
            arguments += [self._text(key), part]
        return func.json_build_object(*arguments, type_=JSON())

    def _text(self, value: str) -> ColumnElement[str]:
        """A parameter that the statement is always run with."""
        name = f"k{len(self.keys)}"
        self.keys[name] = value
        return bindparam(name, type_=Text(), required=True)


def _size(number: int) -> ColumnElement[int]:
    """How many rows the page with this number has at most."""
    return bindparam(f"p{number}_page", type_=Integer(), required=True)


def _spelled(name: str, scalar: str) -> str:
    """The name of a column written for a scalar: with a blank, as no column has."""
    return f"{name} {scalar}"


class _Columns:
    """The columns of a row, those that are costly as they are written already."""

    def __init__(self, columns: Any, costly: Costly) -> None:
        self._columns, self._costly = columns, costly

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        written = (self._columns.get(_spelled(name, scalar)) for scalar, _kind in self._costly)
        found: ColumnElement[Any] | None = next((one for one in written if one is not None), None)
        return self._columns[name] if found is None else found


class _Picked(SimpleNamespace):
    """Columns of one chosen row of an aggregate, made when they are asked for."""

    def __init__(self, columns: Any, pick: Callable[[ColumnElement[Any]], ColumnElement[Any]]) -> None:
        super().__init__()
        self._columns, self._pick = columns, pick

    def __getattr__(self, name: str) -> ColumnElement[Any]:
        return self._pick(self._columns[name])

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        return self._pick(self._columns[name])


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """How to run what was composed, and its parameters that never change: the keys of the answer.

    `kept` is for whoever runs it together with something else.
    """

    fetch: Any
    keys: Mapping[str, str]
    column: Callable[[ColumnElement[Any], Any], ColumnElement[str]]
    kept: dict[Hashable, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A page that an operation is going to ask for, with the values of all parameters but `parent`."""

    asked: Listing
    statement: Statement
    values: Mapping[str, Any]
