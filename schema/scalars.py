"""The custom scalars, each with one spelling, such that Postgres can compose it too (CONTRACT section 6)."""

from datetime import UTC, datetime

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition


def _serialize(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parse(value: object) -> datetime:
    if not isinstance(value, str) or len(value) > 40:
        raise GraphQLError("A DateTime is a string such as 2026-11-20T14:05:06Z.")
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            raise GraphQLError("A DateTime names its offset: end it with Z or +02:00.")
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError("A DateTime is a string such as 2026-11-20T14:05:06Z.") from None


DATE_TIME: ScalarDefinition = strawberry.scalar(
    name="DateTime",
    description="A moment in UTC: 2026-11-20T14:05:06.123456Z, always with six digits. Inputs may use any offset.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=_serialize,
    parse_value=_parse,
)
