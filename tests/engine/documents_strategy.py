"""Documents that fit a schema, any schema: what clients may send, with their variables. Not what becomes of them."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_object_type,
    is_required_argument,
    is_required_input_field,
)
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Scalars = Mapping[str, Sequence[tuple[str, Any]]]
"""Of each scalar: values as literals and as JSON."""

SCALARS: Scalars = {
    "Int": [("0", 0), ("7", 7), ("-1", -1), ("2147483647", 2**31 - 1)],
    "Float": [("1.5", 1.5), ("2", 2), ("-1e3", -1000.0)],
    "String": [('"a"', "a"), ('""', ""), ('"Ω\\n"', "Ω\n"), ('"""\n  block\n"""', "block")],
    "Boolean": [("true", True), ("false", False)],
    "ID": [('"1"', "1"), ("2", 2), ('"x"', "x")],
}
_FAULTS: tuple[Any, ...] = (None, "nonsense", 2**40, [], {}, [[1]], {"a": 1}, 1.5, True)


@dataclass(frozen=True)
class Case:
    """One request."""

    query: str
    operation_name: str | None
    variables: dict[str, Any]


@st.composite
def cases(
    draw: Draw,
    schema: GraphQLSchema,
    *,
    operations: Sequence[str] = ("query",),
    scalars: Scalars | None = None,
    fields: int = 25,
    depth: int = 5,
) -> Case:
    """A request with a valid document of about so many fields, nested so deep. Its variables are sometimes at fault."""
    return _Writer(draw, schema, {**SCALARS, **(scalars or {})}, fields).write(draw(st.sampled_from(operations)), depth)


@dataclass
class _Variables:
    """Of the operation: their definitions and the values that are sent."""

    definitions: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


class _Writer:
    """Writes one document. Response names tell the field and its arguments, so that no two of them conflict."""

    def __init__(self, draw: Draw, schema: GraphQLSchema, scalars: Scalars, fields: int) -> None:
        self._draw = draw
        self._schema = schema
        self._scalars = scalars
        self._left = fields
        self._fragments: list[tuple[str, GraphQLNamedType, str]] = []
        self._variables = _Variables()
        self._names: dict[str, str] = {}
        self._plain = _plain_names(schema)

    def write(self, operation: str, depth: int) -> Case:
        root = {"query": self._schema.query_type, "mutation": self._schema.mutation_type}[operation]
        assert root is not None
        selections = self._selections(root, depth)
        definitions = ", ".join(self._variables.definitions)
        named = self._flip()
        head = operation + (" Main" if named else "") + (f"({definitions})" if definitions else "")
        parts = [f"{head} {selections}"]
        parts += [f"fragment {name} on {on.name} {body}" for name, on, body in self._fragments]
        if named and self._flip():
            parts.insert(0, "query Other { __typename }")
        return Case("\n".join(parts), "Main" if named else None, self._variables.values)

    def _flip(self, of: int = 2) -> bool:
        """Yes in one of so many cases."""
        return bool(self._draw(st.integers(0, of - 1)) == of // 2)  # not at an end: those come more often

    def _one_of(self, options: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(options))

    def _selections(self, on: GraphQLNamedType, depth: int) -> str:
        """`{ … }` of what may be selected of the type."""
        written = []
        for _ in range(self._one_of((4, 2, 3, 1, 5))):
            kind = self._draw(st.integers(0, 9))
            if kind == 3 and depth > 0:
                inner = on if self._flip(4) else self._one_of(self._overlapping(on))
                condition = "" if inner is on and self._flip() else f" on {inner.name}"
                written.append(f"...{condition} {self._condition()} {self._selections(inner, depth - 1)}")
            elif kind == 5 and depth > 0:
                written.append(f"...{self._fragment(on, depth)} {self._condition()}")
            else:
                written.append(self._field(on, depth))
        return "{ " + " ".join(written) + " }"

    def _overlapping(self, on: GraphQLNamedType) -> list[GraphQLNamedType]:
        """The types that an object of this one may have as well."""
        schema = self._schema

        def possible(kind: Any) -> set[str]:
            return {one.name for one in schema.get_possible_types(kind)} if is_abstract_type(kind) else {kind.name}

        mine = possible(on)
        composite = [kind for kind in schema.type_map.values() if is_composite_type(kind)]
        return [kind for kind in composite if possible(kind) & mine and not kind.name.startswith("__")]

    def _fragment(self, on: GraphQLNamedType, depth: int) -> str:
        """The name of a fragment that may be spread here: one that is there already, or a new one."""
        overlapping = self._overlapping(on)
        there = [name for name, kind, _body in self._fragments if kind in overlapping]
        if there and self._flip():
            return str(self._one_of(there))
        kind = self._one_of(overlapping)
        body = self._selections(kind, depth - 1)
        name = f"F{len(self._fragments)}"
        self._fragments.append((name, kind, body))
        return name

    def _field(self, on: Any, depth: int) -> str:
        fields: dict[str, GraphQLField] = getattr(on, "fields", {})
        leaves = {name: f for name, f in fields.items() if not is_composite_type(get_named_type(f.type))}
        if depth <= 0 or self._left <= 0:
            fields = leaves
        self._left -= 1
        name = self._one_of(["__typename", *fields])
        if name == "__typename":
            return f"__typename {self._condition()}"
        found = fields[name]
        arguments = self._arguments(found.args)
        signature = f"{name}{arguments}: {found.type}"
        alias = self._names.setdefault(signature, f"{name}_{len(self._names)}")
        plain = not arguments and name in self._plain and self._flip()
        below = get_named_type(found.type)
        inside = self._selections(below, depth - 1) if is_composite_type(below) else ""
        return f"{'' if plain else alias + ': '}{name}{arguments} {self._condition()} {inside}"

    def _condition(self) -> str:
        """Nothing, mostly; else `@skip` or `@include` or both."""
        if not self._flip(8):
            return ""
        names = self._one_of([("skip",), ("include",), ("include", "skip")])
        boolean = GraphQLNonNull(GraphQLBoolean)
        return " ".join(f"@{name}(if: {self._value(boolean, 1)})" for name in names)

    def _arguments(self, arguments: Mapping[str, GraphQLArgument]) -> str:
        given = [
            f"{name}: {self._value(argument.type, 3)}"
            for name, argument in arguments.items()
            if is_required_argument(argument) or self._flip()
        ]
        return f"({', '.join(given)})" if given else ""

    def _value(self, kind: GraphQLInputType, depth: int, *, constant: bool = False) -> str:
        if not constant and self._flip(3):
            return self._variable(kind)
        if isinstance(kind, GraphQLNonNull):
            return self._literal(kind.of_type, depth, constant=constant)
        return "null" if self._flip(6) else self._literal(kind, depth, constant=constant)

    def _literal(self, kind: Any, depth: int, *, constant: bool) -> str:
        if isinstance(kind, GraphQLList):
            if self._flip(5) and not isinstance(kind.of_type, GraphQLList):
                return self._literal(_nullable(kind.of_type), depth, constant=constant)
            items = [self._value(kind.of_type, depth - 1, constant=constant) for _ in range(self._size(depth))]
            return "[" + ", ".join(items) + "]"
        if isinstance(kind, GraphQLEnumType):
            return str(self._one_of(list(kind.values)))
        if isinstance(kind, GraphQLInputObjectType):
            entries = [
                f"{name}: {self._value(entry.type, depth - 1, constant=constant)}"
                for name, entry in kind.fields.items()
                if is_required_input_field(entry) or (depth > 0 and self._flip())
            ]
            return "{" + ", ".join(entries) + "}"
        return str(self._one_of(self._scalars[kind.name])[0])

    def _size(self, depth: int) -> int:
        return int(self._draw(st.integers(0, 3 if depth > 0 else 0)))

    def _variable(self, kind: GraphQLInputType) -> str:
        """A new variable of the type, or of a stricter one."""
        variables = self._variables
        name = f"v{len(variables.definitions)}"
        declared, default = kind, ""
        if isinstance(kind, GraphQLNonNull):
            if self._flip(4):
                declared, default = kind.of_type, f" = {self._literal(kind.of_type, 2, constant=True)}"
        elif self._flip(4):
            declared = GraphQLNonNull(kind)
        if not default and self._flip(3):
            default = f" = {self._value(declared, 2, constant=True)}"
        variables.definitions.append(f"${name}: {declared}{default}")
        if self._flip(40):
            variables.values[name] = copy.deepcopy(self._one_of(_FAULTS))
        elif not default or self._flip():
            if isinstance(declared, GraphQLNonNull) or not self._flip(4):
                variables.values[name] = self._json(_nullable(declared), 2)
            elif self._flip():
                variables.values[name] = None
        return f"${name}"

    def _json(self, kind: Any, depth: int) -> Any:
        """A value as a client would send it."""
        if isinstance(kind, GraphQLNonNull):
            return self._json(kind.of_type, depth)
        if isinstance(kind, GraphQLList):
            return [self._json_item(kind.of_type, depth) for _ in range(self._size(depth))]
        if isinstance(kind, GraphQLEnumType):
            return self._one_of(list(kind.values))
        if isinstance(kind, GraphQLInputObjectType):
            return {
                name: self._json_item(entry.type, depth)
                for name, entry in kind.fields.items()
                if is_required_input_field(entry) or (depth > 0 and self._flip())
            }
        return copy.deepcopy(self._one_of(self._scalars[kind.name])[1])

    def _json_item(self, kind: GraphQLInputType, depth: int) -> Any:
        return None if not isinstance(kind, GraphQLNonNull) and self._flip(6) else self._json(kind, depth - 1)


def _nullable(kind: Any) -> Any:
    return kind.of_type if isinstance(kind, GraphQLNonNull) else kind


def _plain_names(schema: GraphQLSchema) -> set[str]:
    """The fields whose type is the same wherever there is a field of the name: they never conflict."""
    types: dict[str, set[str]] = {}
    for kind in schema.type_map.values():
        if is_object_type(kind) or is_abstract_type(kind):
            for name, found in getattr(kind, "fields", {}).items():
                types.setdefault(name, set()).add(str(found.type))
    return {name for name, found in types.items() if len(found) == 1}
