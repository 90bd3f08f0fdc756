"""How values look in JSON that Postgres composes: as `spelling`, `schema.ids` and cursors write them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    Uuid,
    cast,
    func,
    literal,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

Spelled = Callable[[ColumnElement[Any]], ColumnElement[Any]]

_NEWLINE: ColumnElement[str] = literal_column("E'\\n'")
_EMPTY: ColumnElement[str] = literal_column("''")
_UUID = 36
_LINE = 57
"""Bytes of text in a line of base64."""
_MOMENT: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")
_DAY: ColumnElement[str] = literal_column("'YYYY-MM-DD'")
_UTC: ColumnElement[str] = literal_column("'UTC'")


def _as_it_is(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column


class _Moment(Text):
    """A moment that is spelled already."""


def _moment(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.to_char(func.timezone(_UTC, column), _MOMENT, type_=_Moment())


def _text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(column, Text)


SPELLED: Mapping[tuple[str, type[TypeEngine[Any]]], Spelled] = {
    ("String", Text): _as_it_is,
    ("Int", Integer): _as_it_is,
    ("Int", SmallInteger): _as_it_is,
    ("Boolean", Boolean): _as_it_is,
    ("JSON", JSONB): _as_it_is,
    ("BigInt", BigInteger): _text,
    ("DateTime", DateTime): _moment,
    ("Date", Date): _as_it_is,  # in JSON, whatever the session's DateStyle says
    # With the digits that it has; Postgres never writes an exponent.
    ("Decimal", Numeric): _text,
}
"""How a column of this type is written for a scalar of the API. What is not here is not composed."""

COSTLY = [("DateTime", DateTime)]
"""Those of them that are written once for each row, however often they are asked for: a cursor has one as well."""


def global_id(row: Any, type_name: str) -> ColumnElement[str]:
    """Of the row with the column `id`, as `schema.ids` has it."""
    prefix = f"{type_name}:"
    return _base64url(literal(prefix, Text) + cast(row.id, Text), lines=len(prefix) + _UUID > _LINE)


def cursor(tag: str, columns: Sequence[ColumnElement[Any]]) -> ColumnElement[str] | None:
    """The JSON of the tag and these columns, encoded; None where a column is of a type that is not written here."""
    text: ColumnElement[str] | None = None
    before = f'["{tag}",'
    for column in columns:
        part = _in_cursor(column)
        if part is None:
            return None
        spelled, quote = part
        constant = f"{before}{quote}"
        # What stands between two columns is one constant: to join texts costs more than what is in them.
        text = literal(constant, Text) + spelled if text is None else text + literal_column(f"'{constant}'") + spelled
        before = f"{quote},"
    assert text is not None  # an order has columns
    return _base64url(text + literal_column(f"'{before[:-1]}]'"))


def _in_cursor(column: ColumnElement[Any]) -> tuple[ColumnElement[str], str] | None:
    """The text of the column, and the quote that is to be around it."""
    match column.type:
        case BigInteger() | Integer():
            return cast(column, Text), ""
        case _Moment():
            return column, '"'
        case DateTime():
            return _moment(column), '"'
        case Date():
            return func.to_char(column, _DAY, type_=Text()), '"'
        case Uuid():
            return cast(column, Text), '"'
    return None


def _base64url(text: ColumnElement[str], *, lines: bool = True) -> ColumnElement[str]:
    """Of a text without `>`, `?` and `~`, so that neither `+` nor `/` is in it; to `translate` or trim them costs more.

    Postgres breaks base64 into lines of 76 characters; `lines` says that there may be more than one.
    """
    encoded: ColumnElement[str] = func.encode(
        func.convert_to(text, literal_column("'UTF8'")), literal_column("'base64'")
    )
    if lines:
        encoded = func.replace(encoded, _NEWLINE, _EMPTY)
    return func.replace(encoded, literal_column("'='"), _EMPTY, type_=Text())
