"""The arguments of a field: read from the document once, from the variables at each request."""

import enum
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from graphql import (
    GraphQLError,
    GraphQLField,
    ListValueNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    is_non_null_type,
)
from graphql.execution import get_argument_values

from engine.plans.running import Run
from engine.plans.selections import Field, Operation

Read = Callable[[Run], dict[str, Any]]

UNCHANGEABLE = (str, int, float, bool, bytes, type(None), Decimal, UUID, date, time, timedelta, enum.Enum)
"""Classes of values that may be shared. One that resolvers might change is read anew for each of them."""
_ABSENT = object()


class _Argument(NamedTuple):
    """As resolvers know it, with its value or the variable that has it."""

    name: str
    constant: Any
    variable: str | None
    required: bool


def arguments_of(field: Field, operation: Operation) -> dict[str, Any] | Read:
    """The arguments themselves where they are the same for every request, else how to read them."""
    node = field.nodes[0]

    def read(run: Run) -> dict[str, Any]:
        return get_argument_values(field.definition, node, run.variables, hide_suggestions=operation.hide_suggestions)

    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    variables = {name: value.name.value for name, value in given.items() if isinstance(value, VariableNode)}
    constants = None
    if not any(_has_variables(value) for name, value in given.items() if name not in variables):
        constants = _constants(field, variables)
    if constants is None:
        return read
    return _reading(_in_order(field, constants, variables), read) if variables else constants


def _constants(field: Field, variables: Mapping[str, str]) -> dict[str, Any] | None:
    """What the document and the schema say; None where that cannot be kept."""
    constant = {name: argument for name, argument in field.definition.args.items() if name not in variables}
    try:
        values = get_argument_values(GraphQLField(field.definition.type, constant), field.nodes[0])
    except GraphQLError:
        return None  # it is an error of the field, each time it is asked for
    return values if all(isinstance(value, UNCHANGEABLE) for value in values.values()) else None


def _in_order(field: Field, constants: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[_Argument]:
    for name, argument in field.definition.args.items():
        out_name = argument.out_name or name
        if name in variables:
            yield _Argument(out_name, None, variables[name], is_non_null_type(argument.type))
        elif out_name in constants:
            yield _Argument(out_name, constants[out_name], None, required=False)


def _reading(arguments: Iterator[_Argument], read: Read) -> Read:
    steps = tuple(arguments)

    def read_variables(run: Run) -> dict[str, Any]:
        coerced = run.variables.coerced
        found = {}
        for name, constant, variable, required in steps:
            value = constant if variable is None else coerced.get(variable, _ABSENT)
            if value is _ABSENT or (required and value is None):
                return read(run)  # graphql-core knows the default, or the error
            found[name] = value
        return found

    return read_variables


def _has_variables(value: ValueNode) -> bool:
    if isinstance(value, ListValueNode):
        return any(_has_variables(item) for item in value.values)
    if isinstance(value, ObjectValueNode):
        return any(_has_variables(entry.value) for entry in value.fields)
    return isinstance(value, VariableNode)
