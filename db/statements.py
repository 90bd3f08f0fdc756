"""Reads written once: a Core `Select` with named parameters, compiled at its first use. Who runs them is in session."""

from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from sqlalchemy import ARRAY, BindParameter, ColumnElement, Select, Uuid, any_, bindparam
from sqlalchemy import Row as AnyRow
from sqlalchemy.dialects.postgresql import asyncpg

Read = Select[*tuple[Any, ...]]
Row = AnyRow[*tuple[Any, ...]]

_DIALECT: Any = cast("Any", asyncpg.dialect)()


def given(name: str) -> BindParameter[Any]:
    """A parameter of a prepared read, which takes the type of what it is compared with."""
    return bindparam(name, required=True)


def among(name: str) -> ColumnElement[Any]:
    """Any of the ids in a parameter: `column == among("ids")`."""
    return any_(bindparam(name, type_=ARRAY(Uuid()), required=True))


@dataclass(frozen=True, slots=True)
class Bound:
    """A prepared read with the values of its parameters: what `Prepared` makes, and whoever runs reads takes."""

    prepared: "Prepared"
    values: Mapping[str, Any]

    @property
    def select(self) -> Read:
        """The same read for a session or connection of SQLAlchemy."""
        return self.prepared.select.params(**self.values)

    def arguments(self) -> list[Any]:
        """The values in the order of the placeholders."""
        values, fixed = self.values, self.prepared.fixed
        return [values[name] if name in values else fixed[name] for name in self.prepared.names]


class Prepared:
    """A read whose statement never changes, only the values of its `bindparam`s.

    To make a `Select`, find its compiled form and run it by SQLAlchemy costs several times what asyncpg needs for it.
    """

    def __init__(self, select: Read) -> None:
        self.select = select

    def __call__(self, **values: Any) -> Bound:
        """With values for all parameters that have none of their own."""
        return Bound(self, values)

    @cached_property
    def _compiled(self) -> Any:
        return self.select.compile(dialect=_DIALECT)

    @cached_property
    def sql(self) -> str:
        """As Postgres is sent it, with $1, $2 …"""
        return str(self._compiled)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the parameters, in the order of the placeholders."""
        return tuple(self._compiled.positiontup)

    @cached_property
    def fixed(self) -> Mapping[str, Any]:
        """The constants of the statement, by the names they were given."""
        return {name: bind.value for name, bind in self._compiled.binds.items() if not bind.required}

    @cached_property
    def row(self) -> Callable[[Any], Row]:
        """A record of asyncpg as a row that looks like SQLAlchemy's: attributes, `_asdict`, unpacking."""
        names = [str(column.key) for column in self.select.selected_columns]
        make: Any = cast("Any", namedtuple)("Row", names)  # cast: which names there are is known only here
        # Typed as what it stands in for: nobody asks more of a row than a named tuple has.
        return cast("Callable[[Any], Row]", make._make)


Readable = Read | Bound
"""What is run as a read: prepared, which is quick, or made for the occasion."""
