"""How a value becomes a part of the answer, whatever value it is (GraphQL specification, section 6.4.3, CompleteValue).

The quick ways that `engine.plans.source` writes out are for the usual values; everything else comes here.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLObjectType,
    default_type_resolver,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_object_type,
)
from graphql.pyutils import Undefined
from graphql.pyutils import inspect as show
from strawberry.execution import optimized_is_awaitable as is_awaitable
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE

from engine.bounded import awaited
from engine.plans.info import ResolveInfo
from engine.plans.leaves import complete_leaf
from engine.plans.places import Place, field_of
from engine.plans.running import Run
from engine.plans.selections import Complete, Selection, Slot

Functions = Mapping[str, Any]
"""The functions of the plan by their names in its source."""


def completer(slot: Slot, functions: Functions) -> Complete:
    """The step that answers any value in this slot."""
    ordinary = _inner(slot, functions)
    inner = slot.composed.step(ordinary) if slot.composed else ordinary
    field = slot.field

    def complete(value: Any, place: Place, run: Run) -> Any:
        if isinstance(value, Exception):
            raise value
        return None if value is None or value is Undefined else inner(value, place, run)

    def complete_non_null(value: Any, place: Place, run: Run) -> Any:
        completed = complete(value, place, run)
        if completed is None:
            raise TypeError(f"Cannot return null for non-nullable field {field.parent}.{field.name}.")
        return completed

    return complete if slot.nullable else complete_non_null


def _inner(slot: Slot, functions: Functions) -> Complete:
    """The step for values that are neither null nor an exception."""
    kind = slot.kind
    if is_leaf_type(kind):
        return complete_leaf(slot)
    if is_list_type(kind):
        step: Complete = functions[f"list{slot.number}"]
        return step
    if is_object_type(kind):
        return _complete_object(slot, slot.below[kind.name], functions)
    assert is_abstract_type(kind)
    return _complete_abstract(slot, functions)


def class_of(kind: GraphQLObjectType) -> type | None:
    """The class whose instances are surely objects of the type, unless they are cast to another; None if there is none.

    They are no awaitables and no exceptions, and the check of the type, if it is Strawberry's own, lets them pass.
    """
    origin = getattr(kind.extensions.get("strawberry-definition"), "origin", None)
    by_strawberry = getattr(kind.is_type_of, "__module__", None) in (None, GraphQLCoreConverter.__module__)
    if not isinstance(origin, type) or not by_strawberry:
        return None
    return None if issubclass(origin, Exception) or hasattr(origin, "__await__") else origin


def _complete_object(slot: Slot, selection: Selection, functions: Functions) -> Complete:
    kind = selection.type
    execute: Complete = functions[f"object{selection.number}"]
    is_type_of = kind.is_type_of
    if is_type_of is None:
        return execute
    known = class_of(kind)

    def check(value: Any, verdict: Any) -> None:
        if not verdict:
            raise GraphQLError(f"Expected value of type '{kind}' but got: {show(value)}.", slot.nodes)

    async def execute_when(verdict: Awaitable[Any], value: Any, place: Place, run: Run) -> Any:
        check(value, await awaited(verdict))
        executed = execute(value, place, run)
        return await executed if is_awaitable(executed) else executed

    def complete(value: Any, place: Place, run: Run) -> Any:
        if type(value) is not known or getattr(value, TYPE_CAST_ATTRIBUTE, None) is not None:
            verdict: Any = is_type_of(value, _info(slot, place, run))
            if is_awaitable(verdict):
                return execute_when(verdict, value, place, run)
            check(value, verdict)
        return execute(value, place, run)

    return complete


def _complete_abstract(slot: Slot, functions: Functions) -> Complete:
    kind = slot.kind
    resolve_type: Callable[..., Any] = kind.resolve_type or default_type_resolver
    by_name = {name: _complete_object(slot, selection, functions) for name, selection in slot.below.items()}

    def as_type(name: Any, value: Any, place: Place, run: Run) -> Any:
        complete = by_name.get(name) if isinstance(name, str) else None
        if complete is None:
            raise GraphQLError(_fault_of_type(slot, name, value, run), slot.nodes)
        return complete(value, place, run)

    async def as_type_when(name: Awaitable[Any], value: Any, place: Place, run: Run) -> Any:
        completed = as_type(await awaited(name), value, place, run)
        return await completed if is_awaitable(completed) else completed

    def complete(value: Any, place: Place, run: Run) -> Any:
        name = resolve_type(value, _info(slot, place, run), kind)
        if is_awaitable(name):
            return as_type_when(name, value, place, run)
        return as_type(name, value, place, run)

    return complete


def _fault_of_type(slot: Slot, name: Any, value: Any, run: Run) -> str:
    """In the words of graphql-core's executor."""
    kind, field = slot.kind, f"{slot.field.parent}.{slot.field.name}"
    must = f"Abstract type '{kind}' must resolve to an Object type at runtime for field '{field}'"
    if name is None:
        return (
            f"{must}. Either the '{kind}' type should provide a 'resolve_type' function or each possible type should "
            "provide an 'is_type_of' function."
        )
    if not isinstance(name, str):
        return f"{must} with value {show(value)}, received '{show(name)}', which is not a valid Object type name."
    found = run.operation.schema.get_type(name)
    if found is None:
        return f"Abstract type '{kind}' was resolved to a type '{name}' that does not exist inside the schema."
    if not is_object_type(found):
        return f"Abstract type '{kind}' was resolved to a non-object type '{name}'."
    return f"Runtime Object type '{found}' is not a possible type for '{kind}'."


def _info(slot: Slot, place: Place, run: Run) -> Any:
    return ResolveInfo(slot.field, field_of(place), run)
