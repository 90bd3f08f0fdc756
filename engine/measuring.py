"""The walk over a document that counts what it selects. Which numbers are too high, and what follows, is not here."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLCompositeType,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)
from graphql.language import SelectionNode

from engine.limits import Limits, too_deep

# The lists of the introspection types are short, but nested they multiply, and every schema serves them.
_INTROSPECTION_LIST_SIZE = 6
_PAGE_SIZES = ("first", "last")
# What a connection calls its lists (Relay's cursor connections): as long as the page that was asked for around them.
_PAGED = ("edges", "nodes")
_INT_RANGE = 2**31
_MAX_DIGITS = 11


class Sum(NamedTuple):
    """Of a selection: its cost, the part of it that comes once for each item of the page around it, and the rest."""

    cost: int
    paged: int
    levels: int
    aliases: int
    directives: int

    def with_page(self, size: int) -> int:
        return self.cost + self.paged * size

    def within(self, cost: int, paged: int = 0) -> "Sum":
        """Of the field around the selection, which costs so much."""
        return Sum(cost, paged, self.levels, self.aliases, self.directives)


_LEAF = Sum(1, 0, 0, 0, 0)
_NOTHING = Sum(0, 0, 0, 0, 0)


class Meter:
    """Fragments count wherever they are spread but are walked once, so the time is linear in the document.

    Eighteen fragments that each spread the next one twice select 2^18 fields.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        limits: Limits,
        weights: Mapping[tuple[str, str], int],
        variables: Mapping[str, Any] | None,
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._weights = weights
        self._variables = variables
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._measured: dict[str, Sum] = {}
        self._open: set[str] = set()
        self.varies = False

    def response_names(self, selections: Iterable[SelectionNode]) -> set[str]:
        """The names at this level of the response, those of fragments included."""
        names: set[str] = set()
        seen: set[str] = set()
        pending = list(selections)
        while pending:
            selection = pending.pop()
            if isinstance(selection, FieldNode):
                names.add((selection.alias or selection.name).value)
            elif isinstance(selection, InlineFragmentNode):
                pending += selection.selection_set.selections
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                seen.add(selection.name.value)
                fragment = self._fragments.get(selection.name.value)
                pending += fragment.selection_set.selections if fragment else ()
        return names

    def measure(self, selections: Iterable[SelectionNode], parent: GraphQLCompositeType | None, level: int) -> Sum:
        """What is selected here and below. What the schema has not counts once."""
        self._check_level(level)
        cost = paged = levels = aliases = directives = 0
        for selection in selections:
            if isinstance(selection, FieldNode):
                found = self._measure_field(selection, parent, level)
                aliases += selection.alias is not None
            elif isinstance(selection, InlineFragmentNode):
                on = selection.type_condition
                inside = self._composite(on.name.value) if on else parent
                found = self.measure(selection.selection_set.selections, inside, level + 1)
            elif isinstance(selection, FragmentSpreadNode):
                found = self._measure_fragment(selection.name.value, level)
            else:
                continue
            cost += found.cost
            paged += found.paged
            levels = max(levels, found.levels)
            aliases += found.aliases
            directives += found.directives + len(selection.directives or ())
        return Sum(cost, paged, levels + 1, aliases, directives)

    def _measure_field(self, node: FieldNode, parent: GraphQLCompositeType | None, level: int) -> Sum:
        own = self._weights.get((parent.name, node.name.value), 1) if parent else 1
        if node.selection_set is None:
            return _LEAF if own == 1 else _LEAF._replace(cost=own)
        field = self._schema.get_field(parent, node.name.value) if parent else None
        inside = self._composite(get_named_type(field.type).name) if field else None
        below = self.measure(node.selection_set.selections, inside, level + 1)
        if parent is None or field is None:
            return below.within(own + below.with_page(self._limits.list_size))
        if not is_list_type(get_nullable_type(field.type)):
            # A fragment is walked once for all pages it is spread in, so it is here that the size of a page comes in.
            page = self._page_size(node, field) if below.paged else 1
            return below.within(own + below.with_page(page))
        each = below.with_page(self._limits.list_size)
        size = self._list_size(node, field, parent)
        return below.within(own, each) if size is None else below.within(own + each * size)

    def _list_size(self, node: FieldNode, field: GraphQLField, parent: GraphQLCompositeType) -> int | None:
        """How many items the list is taken to have; None for as many as the page around it."""
        if parent.name.startswith("__"):
            return _INTROSPECTION_LIST_SIZE
        size = self._asked_size(node, field)
        size = declared(field, "at_most") if size is None else size
        if size is None and node.name.value not in _PAGED:
            return self._limits.list_size
        return size

    def _measure_fragment(self, name: str, level: int) -> Sum:
        if name not in self._measured:
            fragment = self._fragments.get(name)
            if fragment is None or name in self._open:
                return _NOTHING  # validation reports the missing fragment, and the cycle
            self._open.add(name)
            on = self._composite(fragment.type_condition.name.value)
            found = self.measure(fragment.selection_set.selections, on, level + 1)
            own = len(fragment.directives or ())
            self._measured[name] = found._replace(directives=found.directives + own) if own else found
            self._open.remove(name)
        found = self._measured[name]
        self._check_level(level + found.levels)
        return found

    def _page_size(self, node: FieldNode, field: GraphQLField) -> int:
        """Of the lists in the object that the field leads to."""
        size = self._asked_size(node, field)
        if size is not None:
            return size
        pages = any(name in field.args for name in _PAGE_SIZES)
        return self._limits.page_size if pages else self._limits.list_size

    def _asked_size(self, node: FieldNode, field: GraphQLField) -> int | None:
        """How many items the arguments ask for; None where they leave it to the field."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        pages: list[int | None] = []
        ids: list[int | None] = []
        for name, argument in field.args.items():
            kind = get_nullable_type(argument.type)
            if is_list_type(kind) and get_named_type(kind).name == "ID":
                ids.append(self._asked(given.get(name), argument, _length))
            elif name in _PAGE_SIZES and get_named_type(kind).name == "Int":
                pages.append(self._asked(given.get(name), argument, _number))
        known = [size for size in pages if size is not None] or [size for size in ids if size is not None]
        return max(1, *known) if known else None

    def _asked(
        self, value: ValueNode | None, argument: GraphQLArgument, read: Callable[[object], int | None]
    ) -> int | None:
        """How many items the argument asks for; None where it is left to the field."""
        found: object = value
        if isinstance(value, VariableNode):
            if self._variables is None:
                self.varies = True
                return 1
            found = self._variables.get(value.name.value)
        return read(argument.default_value if found is None else found)

    def _composite(self, name: str) -> GraphQLCompositeType | None:
        found = self._schema.get_type(name)
        return found if is_composite_type(found) else None

    def _check_level(self, level: int) -> None:
        if level > self._limits.depth:
            raise too_deep(self._limits.depth)


def declared(field: GraphQLField, what: str) -> int | None:
    """What the schema says of a field in its metadata."""
    definition = field.extensions.get("strawberry-definition")
    value: int | None = getattr(definition, "metadata", {}).get(what)
    return value


def _length(value: object) -> int | None:
    """Of a list, as a literal or from the variables; anything else in its place becomes a list of one."""
    if value is None or value is Undefined or isinstance(value, NullValueNode):
        return None
    if isinstance(value, ListValueNode):
        return len(value.values)
    return len(value) if isinstance(value, list) else 1


def _number(value: object) -> int | None:
    """Of an Int, as a literal or from the variables. What is none, or out of its range, is refused by others."""
    if isinstance(value, IntValueNode):
        return int(value.value[:_MAX_DIGITS])
    return int(value) if isinstance(value, int | float) and abs(value) < _INT_RANGE else None
