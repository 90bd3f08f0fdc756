"""Statements of scans: every order is read along an index, at the beginning of the list and deep in it."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from benchmarks.scans import SCANS
from db import queries
from db.queries.paging import Window, order_of
from db.session import Database
from tests.people import People, Person

MANY = 20_000


@pytest.fixture(scope="module")
async def owner(make: People, database_url: str) -> Person:
    """Somebody with many scans, in a table that Postgres has statistics of."""
    person = await make.person()
    connection = await asyncpg.connect(database_url)
    await connection.execute(SCANS, person.user_id, MANY)
    await connection.execute("analyze scans")
    await connection.close()
    return person


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def explained(url: str, user: UUID, relation: Any, window: Window) -> list[dict[str, Any]]:
    read = order_of(relation).window([user], window)
    connection = await asyncpg.connect(url)
    try:
        [plan] = json.loads(
            await connection.fetchval(f"explain (analyze, format json) {read.prepared.sql}", *read.arguments())
        )
    finally:
        await connection.close()
    return list(nodes(plan["Plan"]))


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("order", list(queries.scans.SCANS_OF_USER), ids=str)
async def test_pages_are_read_along_an_index(
    order: tuple[str, bool], backwards: bool, owner: Person, database: Database, database_url: str
) -> None:
    relation = queries.scans.SCANS_OF_USER[order]
    rows = await database.rows(order_of(relation).window([owner.user_id], Window(MANY // 2)))
    place = order_of(relation).position(order_of(relation).cursor(rows[MANY // 2 - 1]))
    deep = Window(50, backwards, before=place) if backwards else Window(50, after=place)
    for window in (Window(50, backwards), deep):
        plan = await explained(database_url, owner.user_id, relation, window)
        assert not {"Seq Scan", "Sort", "Incremental Sort"} & {node["Node Type"] for node in plan}
        (scan,) = [node for node in plan if node["Node Type"] == "Index Scan"]
        assert scan["Actual Rows"] == 51
        assert scan.get("Rows Removed by Filter", 0) == 0
