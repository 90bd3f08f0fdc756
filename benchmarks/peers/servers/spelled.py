"""Ids and cursors as Gatehouse spells them, in Python and in SQL."""

import base64
import json
from datetime import UTC, datetime
from uuid import UUID

# A moment in UTC with six digits, as RFC 3339 has it.
_MOMENT = "to_char({} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# base64url without padding. What is encoded has no >, ? or ~, so that neither + nor / arises: translating the whole
# text was seen to make up a quarter of the cost of a page.
_BASE64URL = "rtrim(encode(convert_to({}, 'UTF8'), 'base64'), '=')"
# Postgres breaks lines after 76 characters.
_LONG_BASE64URL = "rtrim(replace(encode(convert_to({}, 'UTF8'), 'base64'), E'\\n', ''), '=')"


def global_id(kind: str, key: UUID) -> str:
    return _base64url(f"{kind}:{key}")


def cursor(tag: str, at: datetime, key: UUID) -> str:
    """Of a list in the order of moments and ids."""
    return _base64url(json.dumps([tag, moment(at), str(key)], separators=(",", ":")))


def moment(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def sql_moment(column: str) -> str:
    return _MOMENT.format(column)


def sql_global_id(kind: str, column: str) -> str:
    return _BASE64URL.format(f"'{kind}:' || {column}")


def sql_cursor(tag: str, at: str, key: str) -> str:
    return _LONG_BASE64URL.format(f"'[\"{tag}\",\"' || {sql_moment(at)} || '\",\"' || {key} || '\"]'")


def _base64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
