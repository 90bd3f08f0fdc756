"""What a document may cost at most, counted before anything runs. Not what a field costs in SQL."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

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
_INT_RANGE = 2**31
_MAX_DIGITS = 11


class TooComplex(Exception):
    """The document passes a limit; the message names it."""


class Complexity:
    """The measure of one schema: depth, fields at the root, and fields in all, each as often as its list has items.

    How long a list gets is told by `first` or `last`, else by the ids asked for (an argument of the type [ID]), else it
    is taken for `Limits.list_size`. Leaves count once in a list as well: their items cost next to nothing.
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
        fields, _height = meter.measure(selections, root, 1)
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
        self._measured: dict[str, tuple[int, int]] = {}
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

    def measure(
        self, selections: Iterable[SelectionNode], parent: GraphQLCompositeType | None, level: int
    ) -> tuple[int, int]:
        """The fields selected here and below, and how many levels that takes. What the schema has not counts once."""
        self._check_level(level)
        total = height = 0
        for selection in selections:
            if isinstance(selection, FieldNode):
                fields, levels = self._measure_field(selection, parent, level)
            elif isinstance(selection, InlineFragmentNode):
                on = selection.type_condition
                inside = self._composite(on.name.value) if on else parent
                fields, levels = self.measure(selection.selection_set.selections, inside, level + 1)
            elif isinstance(selection, FragmentSpreadNode):
                fields, levels = self._measure_fragment(selection.name.value, level)
            else:
                continue
            total += fields
            height = max(height, levels)
        return total, height + 1

    def _measure_field(self, node: FieldNode, parent: GraphQLCompositeType | None, level: int) -> tuple[int, int]:
        if node.selection_set is None:
            return 1, 0
        field = self._schema.get_field(parent, node.name.value) if parent else None
        inside = self._composite(get_named_type(field.type).name) if field else None
        fields, levels = self.measure(node.selection_set.selections, inside, level + 1)
        if parent and field and is_list_type(get_nullable_type(field.type)):
            fields *= _INTROSPECTION_LIST_SIZE if parent.name.startswith("__") else self._list_size(node, field)
        return fields + 1, levels

    def _measure_fragment(self, name: str, level: int) -> tuple[int, int]:
        if name not in self._measured:
            fragment = self._fragments.get(name)
            if fragment is None or name in self._open:
                return 0, 0  # validation reports the missing fragment, and the cycle
            self._open.add(name)
            on = self._composite(fragment.type_condition.name.value)
            self._measured[name] = self.measure(fragment.selection_set.selections, on, level + 1)
            self._open.remove(name)
        fields, levels = self._measured[name]
        self._check_level(level + levels)
        return fields, levels

    def _list_size(self, node: FieldNode, field: GraphQLField) -> int:
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
        return max(1, *known) if known else self._limits.list_size

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
