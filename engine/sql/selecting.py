"""What is selected of a page, as a tree that a statement can be composed of; refused where a field has more to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLEnumType, GraphQLScalarType, is_enum_type, is_object_type
from strawberry.types.field import StrawberryField

from engine.plans.arguments import arguments_of
from engine.plans.running import Run
from engine.plans.selections import Field, Operation, Selection
from engine.sql.declarations import CALLERS, COMPOSED, EMBEDDED, LISTING, Listing, Page

MAX_FIELDS = 50
"""Of one object: Postgres' functions take 100 arguments."""


class NotComposable(Exception):
    """The selection takes the ordinary way."""


@dataclass(frozen=True, slots=True)
class Typename:
    name: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the row; `scalar` is the name of what it is to clients, None for an enum stored under its names."""

    name: str
    scalar: str | None
    nullable: bool


@dataclass(frozen=True, slots=True)
class Computed:
    """An expression over the row that the field declares."""

    make: Callable[[Any, str], Any]
    type_name: str


@dataclass(frozen=True, slots=True)
class Object:
    """Fields of one row by their keys in the answer."""

    fields: "Mapping[str, Part]"


@dataclass(frozen=True, slots=True)
class Connection:
    """What is selected of a page: of its edges, its place in the list, and how long that is.

    Each member is a list because aliases may ask for it several times. `number` tells its parameters from others'.
    """

    number: int
    fields: "Mapping[str, Edges | Mapping[str, str] | Typename | None]"
    """`None` for `totalCount`; the names of what is wanted of `pageInfo` by their keys."""
    listing: "Callable[[Run], Listing] | None" = None
    """Of a page below a row: which list, with the arguments of this request."""

    @property
    def tells_more(self) -> bool:
        """Whether it has to be known if there is more than the page, or which rows are its first and last."""
        return any(isinstance(wanted, Mapping) for wanted in self.fields.values())

    @property
    def reads_rows(self) -> bool:
        """Whether more is wanted than how many there are."""
        return any(isinstance(wanted, Mapping | Edges) for wanted in self.fields.values())


@dataclass(frozen=True, slots=True)
class Edges:
    """What is selected of each edge; `None` for its cursor."""

    fields: "Mapping[str, Object | Typename | None]"


Part = Typename | Column | Computed | Object | Connection


@dataclass(slots=True)
class Reading:
    """Reads the selections of a page and those nested in it. `convert` is Strawberry's way from arguments to Python."""

    operation: Operation
    convert: Callable[[StrawberryField, dict[str, Any]], dict[str, Any]]
    pages: list[Connection] = field(default_factory=list)

    def page(self, selection: Selection, listing: Callable[[Run], Listing] | None = None) -> Connection:
        """`NotComposable` where anything in it is not declared to be what a statement can read."""
        number = len(self.pages)
        found = Connection(number, {}, listing)
        self.pages.append(found)
        parts = {one.key: self._of_page(one) for one in _few(selection.fields)}
        if sum(part is None for part in parts.values()) > 1:
            raise NotComposable  # each would be counted anew, where the ordinary way counts once
        self.pages[number] = Connection(number, parts, listing)
        return self.pages[number]

    def callers(self, one: Field) -> Callable[[Run], Listing] | None:
        """Which page a field at the root is going to ask for; None where that is not declared."""
        declared = one.definition.extensions.get("strawberry-definition")
        if not isinstance(declared, StrawberryField) or CALLERS not in declared.metadata:
            return None
        return self._listing(one, declared, declared.metadata[CALLERS])

    def _of_page(self, one: Field) -> Edges | Mapping[str, str] | Typename | None:
        match one.name:
            case "__typename":
                return Typename(one.parent.name)
            case "edges":
                return Edges({edge.key: self._of_edge(edge) for edge in _few(_below(one).fields)})
            case "pageInfo":
                return {part.key: part.name for part in _few(_below(one).fields)}
            case "totalCount":
                return None
        raise NotComposable

    def _of_edge(self, one: Field) -> Object | Typename | None:
        match one.name:
            case "__typename":
                return Typename(one.parent.name)
            case "node":
                return self._object(_below(one))
            case "cursor":
                return None
        raise NotComposable

    def _object(self, selection: Selection) -> Object:
        return Object({one.key: self._part(one) for one in _few(selection.fields)})

    def _part(self, one: Field) -> Part:
        if one.name == "__typename":
            return Typename(one.parent.name)
        declared: StrawberryField = one.definition.extensions["strawberry-definition"]
        how = declared.metadata
        if COMPOSED in how:
            return Computed(how[COMPOSED], one.parent.name)
        if EMBEDDED in how:
            return self._object(_below(one))
        if LISTING in how:
            return self.page(_page_below(one), self._listing(one, declared, how[LISTING]))
        if declared.base_resolver is not None or declared.default_resolver is not getattr:
            raise NotComposable
        return _column(one, declared)

    def _listing(
        self, one: Field, declared: StrawberryField, declare: Callable[..., Listing]
    ) -> Callable[[Run], Listing]:
        arguments = arguments_of(one, self.operation)
        if callable(arguments):
            return lambda run: declare(**self.convert(declared, arguments(run)))
        known: list[Listing] = []

        def listing(_run: Run) -> Listing:
            if not known:
                known.append(declare(**self.convert(declared, arguments)))
            return known[0]

        return listing


def _few(fields: Sequence[Field]) -> Sequence[Field]:
    """The fields, none of which has a permission or another extension that would be skipped over."""
    if len(fields) > MAX_FIELDS or any(_is_extended(one) for one in fields):
        raise NotComposable
    return fields


def _is_extended(one: Field) -> bool:
    if one.name == "__typename":
        return False
    declared = one.definition.extensions.get("strawberry-definition")
    return not isinstance(declared, StrawberryField) or bool(declared.extensions)


def _below(one: Field) -> Selection:
    (selection,) = one.below.values() if len(one.below) == 1 else (None,)
    if selection is None:
        raise NotComposable
    return selection


def _page_below(one: Field) -> Selection:
    if not is_page(one):
        raise NotComposable
    return _below(one)


def is_page(one: Field) -> bool:
    """Whether values of this field are pages that may be composed."""
    kind = one.slot.kind
    origin = getattr(kind.extensions.get("strawberry-definition"), "origin", None) if is_object_type(kind) else None
    return isinstance(origin, type) and issubclass(origin, Page)


def _column(one: Field, declared: StrawberryField) -> Column:
    slot = one.slot
    if isinstance(slot.kind, GraphQLScalarType):
        return Column(declared.python_name, slot.kind.name, slot.nullable)
    if is_enum_type(slot.kind) and _is_stored_by_name(slot.kind):
        return Column(declared.python_name, None, slot.nullable)
    raise NotComposable


def _is_stored_by_name(kind: GraphQLEnumType) -> bool:
    return all(getattr(value.value, "value", value.value) == name for name, value in kind.values.items())
