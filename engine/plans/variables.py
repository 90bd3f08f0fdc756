"""Variables, coerced by what was found out of their types once. What is wrong with one is for graphql-core to say.

GraphQL specification, section 6.1.2, CoerceVariableValues.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLString,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_wrapping_type,
)
from graphql.execution import get_variable_values
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.pyutils import Undefined
from graphql.utilities.coerce_input_value import coerce_default_value

from engine.plans.arguments import UNCHANGEABLE
from engine.plans.selections import Operation

MAX_INPUT_ERRORS = 20
"""How many errors of variables are told."""

Coerce = Callable[[Any], Any]
"""From a value that is not null to what resolvers get. Raises where it is not as usual."""

_AS_THEY_ARE: Mapping[Any, type] = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
_REQUIRED = object()
# Measured, from above: what a variable takes, and each list or `!` of its type.
_VARIABLE_BYTES = 400
_WRAPPER_BYTES = 250


class _UnusualError(Exception):
    """Graphql-core has to look at it."""


class _Place(NamedTuple):
    """Where a value may stand. One of the class `kept` stays as it is, any other goes by `coerce`."""

    nullable: bool
    kept: type | None
    coerce: Coerce


class _Member(NamedTuple):
    """A field of an input object; `absent`: what it is where it is left out, Undefined if nothing."""

    name: str
    out_name: str
    place: _Place
    absent: Any


class _Step(NamedTuple):
    """One variable; `absent` as that of a member."""

    name: str
    place: _Place
    signature: GraphQLVariableSignature
    absent: Any


class InputTypes:
    """How the values of the input types of one schema are coerced."""

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._enums: dict[str, Coerce] = {}

    def place(self, kind: Any) -> _Place:
        """Of a type, whether it may be null and whatever it is."""
        nullable = not is_non_null_type(kind)
        bare = kind if nullable else kind.of_type
        return _Place(nullable, _AS_THEY_ARE.get(bare), self._coerce(bare))

    def _coerce(self, kind: Any) -> Coerce:
        if is_list_type(kind):
            return _List(self.place(kind.of_type))
        if is_input_object_type(kind):
            return self._object(kind)
        if is_enum_type(kind):
            known = self._enums.get(kind.name)
            if known is None:
                known = self._enums[kind.name] = _members_of(kind)
            return known
        return cast("Coerce", kind.coerce_input_value)

    def _object(self, kind: GraphQLInputObjectType) -> "_Object":
        known = self._objects.get(kind.name)
        if known is None:
            # Before its members, of which one may be of this type again.
            known = self._objects[kind.name] = _Object(kind)
            known.members = tuple(
                _Member(name, field.out_name or name, self.place(field.type), _absent(field))
                for name, field in kind.fields.items()
            )
        return known


class Variables:
    """Those of one operation."""

    def __init__(self, operation: Operation, types: InputTypes) -> None:
        self._operation = operation
        self._steps = tuple(_steps(operation, types))
        self.size = sum(map(_size_of, self._steps))

    def coerce(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """Their values, or all errors."""
        try:
            return self._coerced(given)
        except Exception:  # noqa: BLE001 - whatever a scalar raises, graphql-core makes an error of
            operation = self._operation
            nodes = operation.node.variable_definitions or ()
            return get_variable_values(
                operation.schema, nodes, cast("dict[str, Any]", given), MAX_INPUT_ERRORS, operation.hide_suggestions
            )

    def _coerced(self, given: Mapping[str, Any]) -> VariableValues:
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for name, place, signature, absent in self._steps:
            value = given.get(name, Undefined)
            sources[name] = VariableValueSource(signature, value)
            if value is not Undefined:
                coerced[name] = _placed(place, value)
            elif absent is _REQUIRED:
                raise _UnusualError
            elif absent is not Undefined:
                coerced[name] = absent
        return VariableValues(sources, coerced)


def _steps(operation: Operation, types: InputTypes) -> "list[_Step]":
    steps = []
    for node in operation.node.variable_definitions or ():
        signature = get_variable_signature(operation.schema, node)
        assert isinstance(signature, GraphQLVariableSignature)  # which validation has seen to
        absent = _absent(signature)
        if absent is not Undefined and not isinstance(absent, UNCHANGEABLE):
            absent = _REQUIRED  # each request gets one of its own, as a resolver might change it
        steps.append(_Step(signature.name, types.place(signature.type), signature, absent))
    return steps


def _size_of(step: _Step) -> int:
    wrappers, kind = 0, step.signature.type
    while is_wrapping_type(kind):
        wrappers, kind = wrappers + 1, kind.of_type
    return _VARIABLE_BYTES + wrappers * _WRAPPER_BYTES


def _absent(declared: GraphQLInputField | GraphQLVariableSignature) -> Any:
    """What a value is that is left out; `_REQUIRED` where graphql-core is asked."""
    try:
        default = coerce_default_value(declared)
    except Exception:  # noqa: BLE001 - an error each time it is needed, and none before
        return _REQUIRED
    return _REQUIRED if default is Undefined and is_non_null_type(declared.type) else default


def _placed(place: _Place, value: Any) -> Any:
    nullable, kept, coerce = place
    if type(value) is kept:
        return value
    if value is None and nullable:
        return None
    coerced = Undefined if value is None else coerce(value)
    if coerced is Undefined:
        raise _UnusualError
    return coerced


class _List:
    def __init__(self, place: _Place) -> None:
        self._place = place

    def __call__(self, value: Any) -> list[Any]:
        if type(value) is not list:  # one alone is a list of one, and others may be lists too
            raise _UnusualError
        place = self._place
        return [_placed(place, item) for item in value]


class _Object:
    def __init__(self, kind: GraphQLInputObjectType) -> None:
        self.members: tuple[_Member, ...] = ()
        self._one_of = kind.is_one_of
        self._out_type = None if kind.out_type is GraphQLInputObjectType.out_type else kind.out_type

    def __call__(self, value: Any) -> Any:
        if type(value) is not dict or self._one_of:
            raise _UnusualError
        found: dict[str, Any] = {}
        left = len(value)
        for name, out_name, place, absent in self.members:
            if name in value:
                left -= 1
                given = value[name]
                found[out_name] = given if type(given) is place.kept else _placed(place, given)
            elif absent is _REQUIRED:
                raise _UnusualError
            elif absent is not Undefined:
                found[out_name] = absent
        if left:  # a member that there is not
            raise _UnusualError
        return found if self._out_type is None else self._out_type(found)


def _members_of(kind: GraphQLEnumType) -> Coerce:
    return {name: kind.coerce_input_value(name) for name in kind.values}.__getitem__
