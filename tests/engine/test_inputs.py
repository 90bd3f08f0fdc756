"""Input objects that are built quickly: the same values, the same classes, as Strawberry's own way builds them."""

import enum
import uuid
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import strawberry
from hypothesis import given, settings
from hypothesis import strategies as st
from strawberry.types.arguments import convert_argument
from strawberry.types.base import StrawberryObjectDefinition, get_object_definition

from engine.inputs import _Builder, quicken


@strawberry.enum
class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


@strawberry.input
class Inner:
    number: int
    label: str | None = "none"


@strawberry.input
class Outer:
    plain_text: str
    named: int = strawberry.field(name="otherName", default=3)
    colour: Colour | None = None
    colours: list[Colour] = strawberry.field(default_factory=lambda: [Colour.RED])
    inner: Inner | None = strawberry.UNSET
    inners: list[Inner | None] | None = None
    price: Decimal | None
    key: uuid.UUID | None = strawberry.UNSET
    day: date | None = None
    node: strawberry.ID | None = None
    global_id: strawberry.relay.GlobalID | None = None
    nested: "Outer | None" = None


@strawberry.input
class WithMaybe:
    text: strawberry.Maybe[str]


@strawberry.type
class Query:
    @strawberry.field
    def take(self, outer: Outer, maybe: WithMaybe | None = None) -> str:
        return repr((outer, maybe))


def definition(kind: type) -> StrawberryObjectDefinition:
    return get_object_definition(kind, strict=True)


def fresh() -> strawberry.Schema:
    for kind in (Inner, Outer, WithMaybe):
        definition(kind).from_input = None
    return strawberry.Schema(Query)


GLOBAL = str(strawberry.relay.GlobalID("User", "1"))
INNER = st.fixed_dictionaries({"number": st.integers()}, optional={"label": st.none() | st.text()})
OUTER: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {"plainText": st.text()},
        optional={
            "otherName": st.integers(),
            "colour": st.none() | st.sampled_from(Colour),
            "colours": st.lists(st.sampled_from(Colour), max_size=2),
            "inner": st.none() | INNER,
            "inners": st.none() | st.lists(st.none() | INNER, max_size=2),
            "price": st.none() | st.decimals(),
            "key": st.none() | st.uuids(),
            "day": st.none() | st.dates(),
            "node": st.none() | st.text(),
            "globalId": st.none() | st.just(GLOBAL),
            "nested": st.none() | OUTER,
        },
    )
)


@settings(max_examples=200, deadline=None)
@given(value=OUTER)
def test_the_same_object(value: dict[str, Any]) -> None:
    def converted(schema: strawberry.Schema) -> Any:
        converter = schema.schema_converter
        return convert_argument(value, Outer, converter.scalar_registry, converter.config, path=("outer",))

    plain = fresh()
    expected = repr(converted(plain))
    quicken(plain)
    assert isinstance(definition(Outer).from_input, _Builder)
    for _ in range(2):
        assert repr(converted(plain)) == expected


@pytest.mark.parametrize("document", [
    '{ take(outer: {plainText: "x", globalId: "nonsense"}) }',
    '{ take(outer: {plainText: "x", nested: {plainText: "y", inners: [{number: 1}, {number: 2, label: null}]}}) }',
    '{ take(outer: {plainText: "x"}, maybe: {text: null}) }',
    '{ take(outer: {plainText: "x"}, maybe: {}) }',
    '{ take(outer: {plainText: "x", price: "1.50", day: "2026-01-01", colours: [BLUE]}) }',
])  # fmt: skip
def test_the_same_answer_and_the_same_error(document: str) -> None:
    expected = fresh().execute_sync(document)
    schema = fresh()
    quicken(schema)
    answer = schema.execute_sync(document)
    assert answer.data == expected.data
    assert [str(error) for error in answer.errors or ()] == [str(error) for error in expected.errors or ()]


def test_types_that_build_their_own_keep_to_it() -> None:
    schema = fresh()

    def build(_type: type, value: Any, _context: object) -> Inner:
        return Inner(number=value["number"] + 1)

    definition(Inner).from_input = build
    quicken(schema)
    assert definition(Inner).from_input is build
    assert definition(WithMaybe).from_input is None
    fresh()
