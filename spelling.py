"""How moments and exact numbers are written as text, wherever that is done (CONTRACT section 6)."""

from datetime import UTC, datetime
from decimal import Decimal

import orjson

_UTC_Z = orjson.OPT_UTC_Z


def moment(at: datetime) -> str:
    """`2026-11-20T14:05:06.123456Z`, as Postgres can compose it too."""
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    # A quarter of what `isoformat` takes, and of moments an answer has many.
    text = orjson.dumps(in_utc, None, _UTC_Z)[1:-2].decode()
    return f"{text}Z" if in_utc.microsecond else f"{text}.000000Z"  # which orjson leaves out


def decimal(value: Decimal) -> str:
    """`12.50`: without exponent, with the digits that it has, and zero without a sign."""
    return format(value if value else value.copy_abs(), "f")


def shortest(value: Decimal) -> str:
    """`12.5`: as `decimal`, without the zeros behind the point that say nothing; Postgres' `trim_scale`."""
    text = decimal(value)
    return text.rstrip("0").rstrip(".") if "." in text else text
