"""Leaves: how values of scalars and enums are written, at once where their class tells that nothing can go wrong."""

import enum
import functools
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from graphql import (
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLScalarType,
    GraphQLString,
)
from graphql.pyutils import Undefined
from graphql.pyutils import inspect as show
from strawberry.execution import optimized_is_awaitable as is_awaitable
from strawberry.schema.schema_converter import CustomGraphQLEnumType

from engine.plans.places import Place
from engine.plans.running import Run, Waiting
from engine.plans.selections import Complete, Slot
from engine.plans.steps import wait

PLAIN = frozenset(
    {str, int, float, bool, bytes, list, tuple, dict, set, frozenset} | {datetime, date, time, timedelta, Decimal, UUID}
)
"""Classes of values that are no awaitables, no exceptions and not null, whatever they hold."""


class Quick(NamedTuple):
    """For the usual class of a value, `{0}`: a test, what is written then, and the objects that both name.

    `written` is None where that is the value itself, `sure` where nothing has to be looked at afterwards.
    """

    test: str
    written: str | None
    names: dict[str, Any]
    sure: bool = True


_BUILT_IN: dict[GraphQLScalarType, str] = {
    GraphQLString: "type({0}) is str",
    GraphQLID: "type({0}) is str",
    GraphQLBoolean: "type({0}) is bool",
    GraphQLInt: "type({0}) is int and -2147483648 <= {0} <= 2147483647",
    GraphQLFloat: "type({0}) is float and {0} - {0} == 0.0",  # finite
}


def quick_leaf(slot: Slot) -> Quick | None:
    """The quick way for the type of the slot, if it has one."""
    kind: GraphQLLeafType = slot.kind
    if isinstance(kind, CustomGraphQLEnumType):
        return _quick_enum(kind, slot.number)
    if isinstance(kind, GraphQLScalarType):
        test = _BUILT_IN.get(kind)
        return Quick(test, None, {}) if test else _quick_scalar(kind, slot.number)
    return None


def _quick_enum(kind: CustomGraphQLEnumType, number: int) -> Quick | None:
    members: Any = kind.wrapped_cls
    if not issubclass(members, enum.Enum) or issubclass(members, enum.Flag):
        return None
    names, texts = _names_of(kind)
    return Quick(
        f"(name := names{number}.get({{0}}._name_) if type({{0}}) is class{number} else "
        f"texts{number}.get({{0}}) if type({{0}}) is str else None) is not None",
        "name",
        {f"class{number}": members, f"names{number}": names, f"texts{number}": texts},
    )


@functools.lru_cache(maxsize=1_000)  # of the enums of a schema; plans share them
def _names_of(kind: CustomGraphQLEnumType) -> tuple[dict[str, str], dict[str, str]]:
    """What is written of each member, by its name in Python, and of its value, where that is text."""
    members: Any = kind.wrapped_cls
    names = {member._name_: kind.coerce_output_value(member) for member in members}
    values = [known.value for known in kind.values.values() if type(known.value) is str]
    return names, {value: kind.coerce_output_value(value) for value in values}


def _quick_scalar(kind: GraphQLScalarType, number: int) -> Quick:
    """Of a scalar nothing is known but how it writes; what that came to is looked at afterwards."""
    names = {f"write{number}": kind.coerce_output_value}
    return Quick("type({0}) in PLAIN", f"write{number}({{0}})", names, sure=False)


def judge(written: Any, value: Any, slot: Slot, place: Place, *, run: Run, waiting: Waiting) -> Any:
    """What a scalar wrote of a value, if that is none of the plain classes."""
    _check(slot.kind, value, written)
    return wait(written, slot, place, run, waiting) if is_awaitable(written) else written


def complete_leaf(slot: Slot) -> Complete:
    """Of a value that is neither null nor an exception."""
    write: Callable[[Any], Any] = slot.kind.coerce_output_value

    def complete(value: Any, _place: Place, _run: Run) -> Any:
        written = write(value)
        _check(slot.kind, value, written)
        return written

    return complete


def _check(kind: GraphQLLeafType, value: Any, written: Any) -> None:
    if written is None or written is Undefined:
        raise TypeError(
            f"Expected `{show(kind)}.coerce_output_value({show(value)})` to return non-nullable value, "
            f"returned: {show(written)}"
        )
