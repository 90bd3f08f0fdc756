"""Many rows in one statement, whatever the table. What is in them is the nouns'."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Table, func, insert, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from db.session import Session


async def insert_children(
    session: Session,
    parent: InstrumentedAttribute[UUID],
    parent_id: UUID,
    columns: Sequence[InstrumentedAttribute[Any]],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Insert `rows`, with a value for each of `columns`, all of which belong to this parent; at least one row.

    As one array for each column: a statement of one shape, whatever the number of rows.
    """
    arrays = [
        literal(list(values), ARRAY(column.type))
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    names = [column.key for column in columns]
    given = func.unnest(*arrays).table_valued(*names).render_derived(name="given")
    values = select(literal(parent_id, parent.type), *given.c)
    table: Table = parent.property.columns[0].table
    await session.execute(insert(table).from_select([parent.key, *names], values))
