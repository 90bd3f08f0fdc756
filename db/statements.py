"""Statements written once: Core with named parameters, compiled at the first use. Who runs them is in session."""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

from sqlalchemy import ARRAY, JSON, BindParameter, ColumnElement, Insert, Select, Uuid, any_, bindparam
from sqlalchemy import Row as AnyRow
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.types import TypeEngine

Read = Select[*tuple[Any, ...]]
Row = AnyRow[*tuple[Any, ...]]

_DIALECT: Any = cast("Any", asyncpg.dialect)()


def given(name: str) -> BindParameter[Any]:
    """A parameter of a prepared read, which takes the type of what it is compared with."""
    return bindparam(name, required=True)


def several(name: str, kind: type[TypeEngine[Any]]) -> BindParameter[Any]:
    """A parameter that is a list of values of one type."""
    return bindparam(name, type_=ARRAY(kind), required=True)


def among(name: str) -> ColumnElement[Any]:
    """Any of the ids in a parameter: `column == among("ids")`."""
    return any_(several(name, Uuid))


class Bound(NamedTuple):
    """A prepared statement with the values of its parameters: what `Prepared` makes, and who runs statements takes."""

    prepared: "Prepared"
    values: Mapping[str, Any]

    @property
    def select(self) -> Read:
        """The same read for a session or connection of SQLAlchemy."""
        read = self.prepared.statement
        assert isinstance(read, Select)
        return read.params(**self.values)

    def arguments(self) -> list[Any]:
        """The values in the order of the placeholders."""
        form, given = self.prepared.form, self.values
        if form.fixed:
            given = {**form.fixed, **given}
        return [given[name] for name in form.names]


class Prepared:
    """A statement that never changes, only the values of its `bindparam`s; of an insert, those of its columns.

    To make a statement, find its compiled form and run it by SQLAlchemy costs several times what asyncpg needs for it.
    """

    def __init__(self, statement: Read | Insert, columns: Sequence[str] | None = None) -> None:
        """`columns`: which of its own an insert is given."""
        self.statement = statement
        self._columns = columns

    def __call__(self, **values: Any) -> Bound:
        """With values for all parameters that have none of their own."""
        return Bound(self, values)

    @cached_property
    def form(self) -> "Form":
        """As it is sent."""
        return _form_of(self.statement, self._columns)

    @property
    def sql(self) -> str:
        """As Postgres is sent it, with $1, $2 …"""
        return self.form.sql

    @cached_property
    def row(self) -> Callable[[Any], Row]:
        """A record of asyncpg as a row that looks like SQLAlchemy's: attributes, `_asdict`, unpacking."""
        make: Any = cast("Any", namedtuple)("Row", self.form.columns)  # cast: which there are is known only here
        # Typed as what it stands in for: nobody asks more of a row than a named tuple has.
        return cast("Callable[[Any], Row]", make._make)


class Form(NamedTuple):
    """A statement compiled: `names` are those of its parameters in the order of the placeholders.

    `fixed` are the constants, by the names they were given; `json` says at which places of `names` there is JSON.
    """

    sql: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]
    json: tuple[int, ...]
    columns: Sequence[str]


def _form_of(statement: Read | Insert, columns: Sequence[str] | None) -> Form:
    compiled: Any = statement.compile(dialect=_DIALECT, column_keys=columns)
    names = tuple(compiled.positiontup)
    return Form(
        str(compiled),
        names,
        {name: bind.value for name, bind in compiled.binds.items() if not bind.required},
        tuple(place for place, name in enumerate(names) if isinstance(compiled.binds[name].type, JSON)),
        [str(column.key) for column in statement.exported_columns],
    )


class PreparedText(Prepared):
    """One of very many: its text is kept, and not what it was compiled from, which takes thirty times as much."""

    def __init__(self, make: Callable[[], Read]) -> None:
        self._make = make
        self._columns = None

    @cached_property
    def statement(self) -> Read:  # type: ignore[override]  # made when it is asked for
        return self._make()

    @cached_property
    def form(self) -> Form:
        form = _form_of(self.statement, None)
        del self.statement
        return form


Readable = Read | Bound
"""What is run as a read: prepared, which is quick, or made for the occasion."""
