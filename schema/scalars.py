"""The custom scalars, each with one spelling, such that Postgres can compose it too (CONTRACT section 6)."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

import spelling

MAX_DIGITS = 100
"""Of a Decimal that is sent, sign and point included: far more than money needs; what a column takes is its own."""

BigInt = NewType("BigInt", int)
"""An int of 64 bits, where GraphQL's Int has 32."""

_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _parse_date_time(value: object) -> datetime:
    if not isinstance(value, str) or len(value) > 40:
        raise GraphQLError("A DateTime is a string such as 2026-11-20T14:05:06Z.")
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            raise GraphQLError("A DateTime names its offset: end it with Z or +02:00.")
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError("A DateTime is a string such as 2026-11-20T14:05:06Z.") from None


def _serialize_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise GraphQLError("A Decimal is a number.")
    return spelling.decimal(value)


def _parse_decimal(value: object) -> Decimal:
    # A float has lost digits before it came here: JSON's 0.1 is none, and 10**30 becomes one.
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**MAX_DIGITS
    text = str(value) if whole else value
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise GraphQLError('A Decimal is a string such as "12.50", or a whole number.')
    if len(text) > MAX_DIGITS:
        raise GraphQLError(f"A Decimal has at most {MAX_DIGITS} characters.")
    parsed = Decimal(text)
    return parsed if parsed else parsed.copy_abs()


def _parse_big_int(value: object) -> BigInt:
    is_text = isinstance(value, str) and len(value) <= MAX_DIGITS and _INTEGER.fullmatch(value)
    if is_text or (isinstance(value, int) and not isinstance(value, bool)):
        number = int(value)  # type: ignore[call-overload]  # one of the two
        if -(2**63) <= number < 2**63:
            return BigInt(number)
    raise GraphQLError('A BigInt is a whole number of at most 64 bits, such as "9007199254740993".')


def _parse_date(value: object) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise GraphQLError("A Date is a string such as 2026-11-20.")


DATE_TIME: ScalarDefinition = strawberry.scalar(
    name="DateTime",
    description="A moment in UTC: 2026-11-20T14:05:06.123456Z, always with six digits. Inputs may use any offset.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=spelling.moment,
    parse_value=_parse_date_time,
)

DATE: ScalarDefinition = strawberry.scalar(
    name="Date",
    description="A day of the calendar: 2026-11-20.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=date.isoformat,
    parse_value=_parse_date,
)

DECIMAL: ScalarDefinition = strawberry.scalar(
    name="Decimal",
    description='An exact number as a string without exponent: "12.50", with the digits behind the point that it was '
    "stored with. Inputs are strings or whole numbers, never floats.",
    serialize=_serialize_decimal,
    parse_value=_parse_decimal,
)

BIG_INT: ScalarDefinition = strawberry.scalar(
    name="BigInt",
    description="A whole number of up to 64 bits, as a string, since JavaScript's numbers end at 53. Inputs may be "
    "numbers.",
    serialize=str,
    parse_value=_parse_big_int,
)

SCALARS: dict[object, ScalarDefinition] = {datetime: DATE_TIME, date: DATE, Decimal: DECIMAL, BigInt: BIG_INT}
"""For the schema: the scalar of each Python type."""
