"""Answers pages in one statement: asked for each field when a plan is compiled, and for each value when it runs."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from operator import is_
from typing import Any, NamedTuple

import orjson
from graphql import is_object_type
from sqlalchemy import Select
from strawberry import Schema
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from engine.plans.places import Place
from engine.plans.running import Run
from engine.plans.selections import Complete, Composed, Operation, Slot
from engine.sql.declarations import Listing, Page
from engine.sql.selecting import Connection, NotComposable, Reading, is_page
from engine.sql.statements import Ahead, Composing, Costly, Scalars, Statement

MAX_SHAPES = 16
"""Statements that one field keeps: what varies is whether there are cursors, and which filters and orders."""
_SHAPE_BYTES = 60_000
"""Measured, from above: what one of them takes, and what is kept with it."""

_LONGEST_NAME = 63
"""Of a column (NAMEDATALEN of Postgres, less one)."""

Fetch = Callable[[Any, Any, Mapping[str, Any], Ahead | None], str | Awaitable[str]]
"""Runs a prepared statement for a context, a parent and the values of its other parameters; or has what was read ahead.
"""
Prepare = Callable[[Callable[[], Select[Any]]], Fetch]
"""It is told how to make the statement, so that only its text need be kept."""


class _Ways(NamedTuple):
    """How scalars are written, which names columns may have, and how a statement is prepared."""

    scalars: Scalars
    costly: Costly
    names: frozenset[str]
    prepare: Prepare


class Composer:
    """For one schema: how its scalars are written in SQL, and how statements are prepared and run."""

    def __init__(self, schema: Schema, scalars: Scalars, prepare: Prepare, costly: Costly = ()) -> None:
        self._schema = schema
        self._ways = _Ways(scalars, costly, _names(schema), prepare)

    def compose(self, slot: Slot, operation: Operation, grow: Callable[[int], None]) -> Composed | None:
        """What answers pages in this slot by a statement; None for no pages, or what no statement can read of them.

        `grow` is told of the bytes that each statement takes.
        """
        if not is_page(slot.field) or slot.item is not None:
            return None
        reading = Reading(operation, self._convert)
        (selection,) = slot.below.values()
        try:
            page = reading.page(selection)
        except NotComposable:
            return None
        statements = _Statements(page, reading.pages, self._ways, grow)
        ahead = reading.callers(slot.field)
        return Composed(
            lambda otherwise: _Composition(statements, otherwise).complete,
            ahead and (lambda run: statements.ahead(ahead, run)),
        )

    def _convert(self, declared: StrawberryField, given: dict[str, Any]) -> dict[str, Any]:
        """As Strawberry does for a resolver."""
        converter = self._schema.schema_converter
        return convert_arguments(given, declared.arguments, converter.scalar_registry, self._schema.config)


def _names(schema: Schema) -> frozenset[str]:
    """Of the fields of the schema, those that Postgres takes whole as the name of a column."""
    kinds = schema._schema.type_map.values()  # noqa: SLF001 - Strawberry has no public way to graphql-core's schema
    names = {name for kind in kinds if is_object_type(kind) for name in kind.fields}
    return frozenset(name for name in (*names, "__typename") if len(name) <= _LONGEST_NAME)


class _Statements:
    """Of one field of a plan: the statements for the shapes of its lists."""

    def __init__(self, page: Connection, pages: Sequence[Connection], ways: _Ways, grow: Callable[[int], None]) -> None:
        self.pages = pages
        self._page = page
        self._ways = ways
        self._grow = grow
        self._by_shape: dict[Hashable, Statement | None] = {}
        self._last_ahead: tuple[list[Listing], Ahead] | None = None

    def of(self, listings: Sequence[Listing]) -> Statement | None:
        """That for these lists; None where there is none, or there would be too many."""
        shape = _shape(listings)
        if shape not in self._by_shape and len(self._by_shape) < MAX_SHAPES:
            self._by_shape[shape] = self._compose(listings)
            self._grow(_SHAPE_BYTES)
        return self._by_shape.get(shape)

    def ahead(self, listing: Callable[[Run], Listing], run: Run) -> Ahead | None:
        """What to read of these pages before there is a value; None where that is left to their fields.

        A statement is made by who was let through to its field only, so that strangers do not have any made.
        """
        try:
            listings = self.listings(listing(run), run)
        except Exception:  # noqa: BLE001 - a fault of arguments: the field has it at the place where it belongs
            return None
        last = self._last_ahead
        # Where they come of constants, they are the same objects each time.
        if last is not None and all(map(is_, last[0], listings)):
            return last[1]
        statement = self._by_shape.get(_shape(listings))
        if statement is None:
            return None
        ahead = Ahead(listings[0], statement, self.values(statement, listings))
        self._last_ahead = listings, ahead
        return ahead

    def listings(self, first: Listing, run: Run) -> list[Listing]:
        """Those of all pages, of which the first is told."""
        return [first, *(page.listing(run) for page in self.pages[1:] if page.listing)]

    def values(self, statement: Statement, listings: Sequence[Listing]) -> dict[str, Any]:
        """Of all parameters but that of the parent."""
        values: dict[str, Any] = dict(statement.keys)
        for page, listing in zip(self.pages, listings, strict=True):
            prefix = f"p{page.number}_"
            values |= listing.values(prefix)
            if not page.tells_more and not listing.backwards:
                values[f"{prefix}size"] = values[f"{prefix}page"]
        return values

    def _compose(self, listings: Sequence[Listing]) -> Statement | None:
        page, ways = self._page, self._ways

        def composing() -> Composing:
            return Composing(ways.scalars, ways.costly, listings, ways.names)

        tried = composing()
        try:
            tried.statement(page)
        except NotComposable:
            return None
        return Statement(
            ways.prepare(lambda: composing().statement(page)),
            tried.keys,
            lambda parent, around: composing().column(page, parent, around),
        )


def _shape(listings: Sequence[Listing]) -> Hashable:
    return tuple(listing.shape for listing in listings)


class _Composition:
    """The step of a plan for the values of one slot."""

    def __init__(self, statements: _Statements, otherwise: Complete) -> None:
        self._statements = statements
        self._otherwise = otherwise

    def complete(self, value: Any, place: Place, run: Run) -> Any:
        """The page as JSON of Postgres'. One of many objects in a list is left to the batches of the ordinary way."""
        if not isinstance(value, Page) or _in_list(place):
            return self._otherwise(value, place, run)
        ahead = run.ahead if isinstance(run.ahead, Ahead) else None
        if ahead is not None and ahead.asked is value.read:
            statement, values = ahead.statement, ahead.values
        else:
            found = self._asked(value, run)
            if found is None:
                return self._otherwise(value, place, run)
            statement, values = found
            if ahead is not None and found != (ahead.statement, ahead.values):
                ahead = None
        json = statement.fetch(run.context, value.of, values, ahead)
        return orjson.Fragment(json) if isinstance(json, str) else _spliced(json)

    def _asked(self, page: Page, run: Run) -> tuple[Statement, Mapping[str, Any]] | None:
        statements = self._statements
        try:
            listings = statements.listings(page.read, run)
        except Exception:  # noqa: BLE001 - a fault of arguments: the ordinary way has it at the places where it belongs
            return None
        statement = statements.of(listings)
        return None if statement is None else (statement, statements.values(statement, listings))


async def _spliced(json: Awaitable[str]) -> orjson.Fragment:
    return orjson.Fragment(await json)


def _in_list(place: Place | None) -> bool:
    while place is not None:
        if isinstance(place[1], int):
            return True
        place = place[0]
    return False
