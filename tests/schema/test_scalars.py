"""The custom scalars: one spelling out, which Postgres writes too; exact values in, as literals and as variables."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import strawberry
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from strawberry.schema.config import StrawberryConfig

import spelling
from engine import Engine, Executed, GraphQLRequest, Refused
from schema.scalars import SCALARS, BigInt


@strawberry.type
class Query:
    @strawberry.field
    def decimal(self, value: Decimal) -> Decimal:
        assert type(value) is Decimal
        return value

    @strawberry.field
    def big(self, value: BigInt) -> BigInt:
        assert type(value) is int
        return value

    @strawberry.field
    def day(self, value: date) -> date:
        assert type(value) is date
        return value

    @strawberry.field
    def moment(self, value: datetime) -> datetime:
        return value

    @strawberry.field
    def broken(self) -> Decimal:
        return Decimal("NaN")


schema = strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))
ENGINE = Engine(schema)
KINDS = {"decimal": "Decimal", "big": "BigInt", "day": "Date", "moment": "DateTime"}


async def answer(field: str, value: Any) -> Executed | Refused:
    document = f"query($value: {KINDS[field]}!) {{ {field}(value: $value) }}"
    return await ENGINE.execute(GraphQLRequest(document, {"value": value}), None)


async def echo(field: str, value: Any) -> Any:
    answered = await answer(field, value)
    assert isinstance(answered, Executed), answered
    assert answered.data is not None, answered.errors
    return answered.data[field]


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        ("decimal", "12.50", "12.50"),
        ("decimal", "-0.10", "-0.10"),
        ("decimal", "-0.00", "0.00"),
        ("decimal", "-0", "0"),
        ("decimal", "007.1", "7.1"),
        ("decimal", 12, "12"),
        ("decimal", -(2**62), str(-(2**62))),
        ("decimal", "1" * 60 + "." + "1" * 39, "1" * 60 + "." + "1" * 39),
        ("decimal", "0.000000000000000001", "0.000000000000000001"),
        ("big", 7, "7"),
        ("big", "9223372036854775807", "9223372036854775807"),
        ("big", -(2**63), "-9223372036854775808"),
        ("day", "2026-11-20", "2026-11-20"),
        ("day", "0001-01-01", "0001-01-01"),
        ("moment", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("moment", "2026-11-20T14:05:06+02:00", "2026-11-20T12:05:06.000000Z"),
    ],
)
async def test_values_come_back_in_their_one_spelling(field: str, value: Any, written: str) -> None:
    assert await echo(field, value) == written
    literal = f'"{value}"' if isinstance(value, str) else value
    in_document = await ENGINE.execute(GraphQLRequest(f"{{ {field}(value: {literal}) }}"), None)
    assert isinstance(in_document, Executed)
    assert in_document.data == {field: written}


NO_NUMBERS: list[Any] = [
    "",
    " 1",
    "1 ",
    "1\n",
    "x",
    "+1",
    "1_0",
    "0x10",
    "١",
    "½",
    True,
    [],
    {},
    [1],
    "NaN",
    "Infinity",
]
WRONG: dict[str, list[Any]] = {
    "decimal": [*NO_NUMBERS, 1.0, 1.5, 1e30, "1e3", "1E-3", ".5", "5.", "-", "--1", "-Infinity", "sNaN", "1" * 101],
    "big": [*NO_NUMBERS, 1.0, 1e20, "1.0", "01", 2**63, -(2**63) - 1, str(2**63), "9" * 5_000],
    "day": ["", "20261120", "2026-W47-5", "2026-02-30", "2026-1-1", "2026-11-20T00:00:00Z", "٢٠٢٦-11-20", 5, True, []],
    "moment": ["", "2026-11-20", "2026-11-20T14:05:06", 5, True, [], "0001-01-01T00:00:00+02:00", "2" * 50],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
async def test_what_is_none_is_refused_in_words_of_ours(field: str, value: Any) -> None:
    refused = await answer(field, value)
    assert isinstance(refused, Refused)
    [fault] = refused.faults
    assert fault.path == "value"
    assert fault.message.startswith(("A ", "An ")), fault.message
    assert KINDS[field] in fault.message


@pytest.mark.parametrize(
    ("field", "literal"),
    [
        *(
            ("decimal", literal)
            for literal in ("1.5", "1e3", "true", "x", "[1]", "{a: 1}", "null", "9" * 101, "9" * 5_000)
        ),
        *(("big", literal) for literal in ("1.5", "1e3", "9223372036854775808", "9" * 5_000, "x", "null")),
        *(("day", literal) for literal in ("20261120", '"20261120"', "null")),
    ],
)
async def test_literals_that_are_none_are_refused(field: str, literal: str) -> None:
    refused = await ENGINE.execute(GraphQLRequest(f"{{ {field}(value: {literal}) }}"), None)
    assert isinstance(refused, Refused)


async def test_a_whole_literal_is_exact_whatever_its_length() -> None:
    number = "9" * 40
    exact = await ENGINE.execute(GraphQLRequest(f"{{ decimal(value: {number}) }}"), None)
    assert isinstance(exact, Executed)
    assert exact.data == {"decimal": number}


async def test_what_is_no_number_does_not_leave() -> None:
    broken = await ENGINE.execute(GraphQLRequest("{ broken }"), None)
    assert isinstance(broken, Executed)
    assert broken.data is None


STORED: dict[str, tuple[str, Callable[[], st.SearchStrategy[Any]]]] = {
    "decimal": (
        "numeric",
        lambda: st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40),
    ),
    "big": ("bigint", lambda: st.integers(-(2**63), 2**63 - 1)),
    "day": ("date", st.dates),
}


@pytest.mark.parametrize("field", STORED)
@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_postgres_writes_the_same(database_url: str, field: str, data: Any) -> None:
    column, values = STORED[field]
    value = data.draw(values())
    connection = await asyncpg.connect(database_url)
    try:
        stored, text = await connection.fetchrow(f"select v, v::text from (select $1::{column} as v) as x", value)
    finally:
        await connection.close()
    serialize = SCALARS[{"decimal": Decimal, "big": BigInt, "day": date}[field]].serialize
    assert serialize is not None
    assert serialize(stored) == text
    if len(text) <= 100:
        assert await echo(field, text) == text


@examples(deadline=None)
@given(
    at=st.datetimes(timezones=st.timezones() | st.just(UTC)).filter(lambda at: 1 < at.year < 9999),
    whole=st.booleans(),
)
def test_a_moment_is_spelled_with_all_its_microseconds(at: datetime, whole: bool) -> None:
    at = at.replace(microsecond=0) if whole else at
    assert spelling.moment(at) == at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
