"""How moments and exact numbers are written as text, wherever that is done (CONTRACT section 6)."""

from datetime import UTC, datetime
from decimal import Decimal


def moment(at: datetime) -> str:
    """`2026-11-20T14:05:06.123456Z`, as Postgres can compose it too."""
    text = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat("T", "microseconds")
    return text[:-6] + "Z"  # which is what +00:00 means


def decimal(value: Decimal) -> str:
    """`12.50`: without exponent, with the digits that it has, and zero without a sign."""
    return format(value if value else value.copy_abs(), "f")


def shortest(value: Decimal) -> str:
    """`12.5`: as `decimal`, without the zeros behind the point that say nothing; Postgres' `trim_scale`."""
    text = decimal(value)
    return text.rstrip("0").rstrip(".") if "." in text else text
