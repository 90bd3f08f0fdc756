"""What a document may cost at most, counted before anything runs. Not what a field costs in SQL."""

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
    OperationDefinitionNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
)
from graphql.language import SelectionNode

from engine.limits import Limits

# The lists of the introspection types are short, but nested they multiply, and every schema serves them.
_INTROSPECTION_LIST_SIZE = 6
_PAGE_SIZES = ("first", "last")
# What a connection calls its lists (Relay's cursor connections): as long as the page that was asked for around them.
_PAGED = ("edges", "nodes")
_INT_RANGE = 2**31
_MAX_DIGITS = 11


class TooComplex(Exception):
    """The document passes a limit; the message names it."""


class _Cost(NamedTuple):
    """Of a selection: its fields, those of them that come once for each item of the page around it, its levels."""

    fields: int
    paged: int
    levels: int

    def with_page(self, size: int) -> int:
        return self.fields + self.paged * size


class Complexity:
    """The measure of one schema: depth, fields at the root, and fields in all, each as often as its list has items.

    How long a list gets is told by `first` or `last`, else by the ids asked for (an argument of the type [ID]), else by
    its field (`metadata={"at_most": 10}`), else it is taken for `Limits.list_size`. The `edges` and `nodes` of a
    connection are as long as its page, by default `Limits.page_size`. Leaves count once in a list as well: their items
    cost next to nothing.
    """

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits

    def check(self, document: DocumentNode) -> bool:
        """Raise `TooComplex` where an operation passes a limit whatever its variables are.

        Tells whether a variable decides how long a list gets, so that `check_values` has to look at every request.
        """
        meter = _Meter(self._schema, document, self._limits, None)
        for operation in document.definitions:
            if isinstance(operation, OperationDefinitionNode):
                self._check(meter, operation)
        return meter.varies

    def check_values(
        self, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> None:
        """Raise `TooComplex` where the operation costs too much with these variables, as they came."""
        defaults = {
            definition.variable.name.value: definition.default_value
            for definition in operation.variable_definitions or ()
        }
        self._check(_Meter(self._schema, document, self._limits, {**defaults, **variables}), operation)

    def _check(self, meter: "_Meter", operation: OperationDefinitionNode) -> None:
        limits = self._limits
        selections = operation.selection_set.selections
        root = self._schema.get_root_type(operation.operation)
        fields = meter.measure(selections, root, 1).with_page(limits.list_size)
        if len(meter.response_names(selections)) > limits.root_fields:
            raise TooComplex(f"The operation selects more than {limits.root_fields} root fields.")
        if fields > limits.fields:
            raise TooComplex(
                f"The operation selects more than {limits.fields} fields, each counted for every item of its list."
            )


class _Meter:
    """Fragments count wherever they are spread but are walked once, so the time is linear in the document.

    Eighteen fragments that each spread the next one twice select 2^18 fields.
    """

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, limits: Limits, variables: Mapping[str, Any] | None
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._variables = variables
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._measured: dict[str, _Cost] = {}
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

    def measure(self, selections: Iterable[SelectionNode], parent: GraphQLCompositeType | None, level: int) -> _Cost:
        """What is selected here and below. What the schema has not counts once."""
        self._check_level(level)
        fields = paged = levels = 0
        for selection in selections:
            if isinstance(selection, FieldNode):
                cost = self._measure_field(selection, parent, level)
            elif isinstance(selection, InlineFragmentNode):
                on = selection.type_condition
                inside = self._composite(on.name.value) if on else parent
                cost = self.measure(selection.selection_set.selections, inside, level + 1)
            elif isinstance(selection, FragmentSpreadNode):
                cost = self._measure_fragment(selection.name.value, level)
            else:
                continue
            fields += cost.fields
            paged += cost.paged
            levels = max(levels, cost.levels)
        return _Cost(fields, paged, levels + 1)

    def _measure_field(self, node: FieldNode, parent: GraphQLCompositeType | None, level: int) -> _Cost:
        if node.selection_set is None:
            return _Cost(1, 0, 0)
        field = self._schema.get_field(parent, node.name.value) if parent else None
        inside = self._composite(get_named_type(field.type).name) if field else None
        below = self.measure(node.selection_set.selections, inside, level + 1)
        list_size = self._limits.list_size
        if parent is None or field is None:
            return _Cost(1 + below.with_page(list_size), 0, below.levels)
        if not is_list_type(get_nullable_type(field.type)):
            # A fragment is walked once for all pages it is spread in, so it is here that the size of a page comes in.
            page = self._page_size(node, field) if below.paged else 1
            return _Cost(1 + below.with_page(page), 0, below.levels)
        each = below.with_page(list_size)
        if parent.name.startswith("__"):
            return _Cost(1 + each * _INTROSPECTION_LIST_SIZE, 0, below.levels)
        size = self._asked_size(node, field)
        size = _declared_size(field) if size is None else size
        if size is None and node.name.value in _PAGED:
            return _Cost(1, each, below.levels)
        return _Cost(1 + each * (list_size if size is None else size), 0, below.levels)

    def _measure_fragment(self, name: str, level: int) -> _Cost:
        if name not in self._measured:
            fragment = self._fragments.get(name)
            if fragment is None or name in self._open:
                return _Cost(0, 0, 0)  # validation reports the missing fragment, and the cycle
            self._open.add(name)
            on = self._composite(fragment.type_condition.name.value)
            self._measured[name] = self.measure(fragment.selection_set.selections, on, level + 1)
            self._open.remove(name)
        cost = self._measured[name]
        self._check_level(level + cost.levels)
        return cost

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
            raise TooComplex(f"The document nests deeper than {self._limits.depth} levels, fragments counted in.")


def _declared_size(field: GraphQLField) -> int | None:
    """What the schema says of a list that is short by its nature."""
    definition = field.extensions.get("strawberry-definition")
    size: int | None = getattr(definition, "metadata", {}).get("at_most")
    return size


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
