"""Variables coerced by what was found out of their types: the same values, and the same errors, as by graphql-core."""

import gc
import tracemalloc
from typing import Any

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse
from graphql.execution import get_variable_values
from graphql.execution.values import VariableValues
from graphql.pyutils import Undefined
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.plans.selections import Operation
from engine.plans.variables import MAX_INPUT_ERRORS, InputTypes, Variables

SCHEMA = build_schema(
    """
    enum Colour { RED GREEN }
    scalar Any
    input Place { x: Int! y: Int = 7 label: String colour: Colour = RED tags: [String!] inside: Place }
    input One @oneOf { left: Int right: String }
    type Query { ask(place: Place, id: ID, f: Float, b: Boolean, any: Any, one: One): String }
    """
)
TYPES = (
    "String",
    "String!",
    "ID!",
    "Boolean",
    "Int!",
    "Float",
    "Any",
    "Colour",
    "Colour!",
    "[Int!]!",
    "[[String]]",
    "Place",
    "Place!",
    "[Place!]",
    "One",
)
DEFAULTS = {"String": '"a"', "Int": "3", "Colour": "GREEN", "[Int]": "[1, 2]", "Place": "{x: 1}", "Boolean": "null"}


def operation(definitions: str, schema: GraphQLSchema = SCHEMA) -> Operation:
    node = parse(f"query ({definitions}) {{ ask }}").definitions[0]
    assert isinstance(node, OperationDefinitionNode)
    return Operation(schema, node, {}, hide_suggestions=False)


def by_core(asked: Operation, values: dict[str, Any]) -> Any:
    nodes = asked.node.variable_definitions or ()
    return get_variable_values(asked.schema, nodes, values, MAX_INPUT_ERRORS, asked.hide_suggestions)


def told(result: Any) -> Any:
    if isinstance(result, VariableValues):
        sources = {name: (source.signature.name, source.value) for name, source in result.sources.items()}
        return sources, result.coerced, [type(value) for value in result.coerced.values()]
    return [error.message for error in result]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([2**31, -(2**31) - 1, 0.5, 1.0, 1e300, "", "a", "RED", "GREEN", "BLUE", "__proto__"])
)
KEYS = st.sampled_from(["x", "y", "label", "colour", "tags", "inside", "left", "right", "other"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
PLACES = st.fixed_dictionaries(
    {"x": st.integers(-5, 5)},
    optional={
        "y": st.none() | st.integers(-5, 5),
        "label": st.none() | st.text(max_size=3),
        "colour": st.sampled_from([None, "RED", "GREEN"]),
        "tags": st.none() | st.lists(st.text(max_size=2), max_size=2),
        "inside": VALUES,
    },
)


@settings(deadline=None)
@given(kind=st.sampled_from(TYPES), value=VALUES | PLACES | st.lists(PLACES, max_size=2), given_at_all=st.booleans())
def test_any_value_is_coerced_as_graphql_core_does(kind: str, value: Any, given_at_all: bool) -> None:
    asked, values = operation(f"$value: {kind}"), {"value": value} if given_at_all else {}
    assert told(Variables(asked, InputTypes()).coerce(values)) == told(by_core(asked, values))


@settings(deadline=None)
@given(value=PLACES)
def test_a_usual_object_needs_no_second_look(value: dict[str, Any]) -> None:
    asked = operation("$value: Place!")
    values = {"value": {**value, "inside": None}}
    assert told(Variables(asked, InputTypes())._coerced(values)) == told(by_core(asked, values))


@pytest.mark.parametrize(("kind", "default"), DEFAULTS.items())
@pytest.mark.parametrize("values", [{}, {"value": None}, {"other": 1}])
def test_defaults(kind: str, default: str, values: dict[str, Any]) -> None:
    asked = operation(f"$value: {kind} = {default}, $second: Int")
    assert told(Variables(asked, InputTypes()).coerce(values)) == told(by_core(asked, values))


def test_a_default_that_resolvers_may_change_is_each_requests_own() -> None:
    variables = Variables(operation("$value: [Int] = [1, 2]"), InputTypes())
    first = variables.coerce({})
    assert isinstance(first, VariableValues)
    first.coerced["value"].append(3)
    second = variables.coerce({})
    assert isinstance(second, VariableValues)
    assert second.coerced == {"value": [1, 2]}


def test_several_faults_are_told_at_once() -> None:
    asked = operation("$a: Int!, $b: Colour!, $c: [Place!]!")
    values = {"a": "x", "b": "BLUE", "c": [{"y": 1}, {"x": 1, "z": 2}]}
    result = Variables(asked, InputTypes()).coerce(values)
    assert isinstance(result, list)
    assert len(result) == 4
    assert told(result) == told(by_core(asked, values))


def test_a_scalar_that_comes_to_nothing_is_a_fault() -> None:
    schema = build_schema("scalar Any type Query { ask: Any }")
    schema.type_map["Any"].coerce_input_value = lambda _value: Undefined  # type: ignore[attr-defined]
    asked = operation("$value: Any", schema)
    assert told(Variables(asked, InputTypes()).coerce({"value": 1})) == told(by_core(asked, {"value": 1}))


def test_values_of_an_object_go_through_what_its_type_makes_of_them() -> None:
    schema = build_schema("input Pair { a: Int b: Int } type Query { ask(pair: Pair): Int }")
    schema.type_map["Pair"].out_type = sorted  # type: ignore[attr-defined]
    result = Variables(operation("$value: Pair", schema), InputTypes()).coerce({"value": {"b": 1, "a": 2}})
    assert isinstance(result, VariableValues)
    assert result.coerced == {"value": ["a", "b"]}


@pytest.mark.parametrize("kind", [*TYPES, "[[[[Int!]!]!]!]!", "Int = 5", 'String = "default"', "[Colour] = [RED]"])
def test_they_take_no_more_memory_than_is_counted(kind: str) -> None:
    asked, types = operation(" ".join(f"$value{number}: {kind}" for number in range(200))), InputTypes()
    Variables(asked, types)  # what the types take is the schema's
    gc.collect()
    tracemalloc.start()
    try:
        variables = Variables(asked, types)
        gc.collect()
        taken, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= variables.size
