"""What a schema declares so that one statement can answer a selection. How the statement is made is not here.

A field without a resolver is the column of its Python name. A field with one is answered by Postgres only where its
`metadata` says how:

- `composed`: a function from the columns of the row and the name of the type to an expression;
- `embedded`: True for an object whose fields are columns of the same row;
- `listing`: a function from the arguments of the field to the `Listing` of a connection below the row.

And of a field at the root, whose resolver answers with a page of what is the caller's:

- `callers`: a function from its arguments to the `Listing` of that page, so that it can be read ahead.
"""

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Select

COMPOSED = "composed"
EMBEDDED = "embedded"
LISTING = "listing"
CALLERS = "callers"


class Listing(Protocol):
    """A page of a list. Listings of one `shape` are read by one statement, with other values of its parameters."""

    @property
    def shape(self) -> Hashable: ...

    @property
    def backwards(self) -> bool:
        """Whether its rows come from the end of the list."""

    @property
    def from_somewhere(self) -> bool:
        """Whether it begins after a place in the list."""

    @property
    def to_somewhere(self) -> bool:
        """Whether it ends before a place in the list."""

    def rows(self, parent: ColumnElement[Any], prefix: str) -> Select[Any]:
        """The rows of this parent, in the direction of paging, one more than `size`; parameters begin with `prefix`."""

    def count(self, parent: ColumnElement[Any], prefix: str) -> Select[Any]:
        """How many there are in the whole list."""

    def cursor(self, row: Any) -> ColumnElement[str] | None:
        """Of a row, by its columns; None where it cannot be written in SQL."""

    def values(self, prefix: str) -> Mapping[str, Any]:
        """Of all parameters of `rows` and `count`, and `{prefix}page`: the size of the page."""


class Page:
    """The base of what a resolver returns for a connection (Relay's cursor connections): what to read, not yet read.

    Its type has `edges { node cursor }`, `pageInfo` and `totalCount`. Where a plan can compose what is selected of it,
    that is read in one statement; elsewhere its own resolvers read.
    """

    read: Listing
    """Which page."""
    of: Any
    """The key of its parent, for the parameter `parent`."""
