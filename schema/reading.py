"""The read executor of a request: runs declared `Select`s and batches relations. Which rows may be read is in them."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from strawberry.dataloader import DataLoader

from db.queries.paging import Window, order_of
from db.queries.relation import Relation, Wanted
from db.replica import Replica
from db.session import Bound, Database, Readable, Row

MAX_AT_ONCE = 3
"""Connections that one request may hold for its reads."""


class Slice(NamedTuple):
    """The rows of one window in the order of their list, and whether there are more in the direction of paging."""

    rows: list[Row]
    more: bool


class Reader:
    """Runs reads; one for each request, because what it has loaded is remembered until the request ends."""

    def __init__(self, database: Database, replica: Callable[[], Replica | None] | None = None) -> None:
        """`replica`: asked before each prepared read, whether it may go there."""
        self._database = database
        self._replica = replica
        self._loaders: dict[Hashable, DataLoader[UUID, Any]] = {}
        self._places: asyncio.Semaphore | None = None

    async def row(self, read: Readable) -> Row | None:
        """The only row, or None."""
        rows = await self.rows(read)
        return rows[0] if rows else None

    async def rows(self, read: Readable) -> Sequence[Row]:
        # A document with fifty root fields must not take the whole pool from everybody else.
        async with self._at_once():
            return await (self._source().rows(read) if isinstance(read, Bound) else self._database.rows(read))

    async def value(self, read: Bound) -> Any:
        """The first column of the only row."""
        async with self._at_once():
            return await self._source().value(read)

    def _at_once(self) -> asyncio.Semaphore:
        if self._places is None:
            self._places = asyncio.Semaphore(MAX_AT_ONCE)
        return self._places

    def _source(self) -> Database | Replica:
        return (self._replica and self._replica()) or self._database

    async def children(self, relation: Relation, parent: UUID) -> list[Row]:
        """The related rows of one parent; asked for many parents at once, they come in one statement."""
        rows: list[Row] = await self._load(relation, parent, lambda parents: self._related(relation, parents))
        return rows

    async def window(self, relation: Relation, parent: UUID, window: Window) -> Slice:
        """A page of the related rows; the same page of many parents comes in one statement."""
        found: Slice = await self._load(
            (relation, window), parent, lambda parents: self._windows(relation, window, parents)
        )
        return found

    async def count(self, relation: Relation, parent: UUID, wanted: Wanted | None = None) -> int:
        """How many related rows, of those wanted, there are; of many parents in one statement."""
        number: int = await self._load(
            (relation, wanted, "count"), parent, lambda parents: self._counts(relation, parents, wanted)
        )
        return number

    def forget(self) -> None:
        """Drop what was loaded: a mutation may have changed it."""
        self._loaders.clear()

    async def _load(self, what: Hashable, parent: UUID, batch: Callable[[list[UUID]], Any]) -> Any:
        return await self._loader(what, batch).load(parent)

    def _loader(self, what: Hashable, batch: Callable[[list[UUID]], Any]) -> DataLoader[UUID, Any]:
        if what not in self._loaders:
            self._loaders[what] = DataLoader(load_fn=batch)
        return self._loaders[what]

    async def _related(self, relation: Relation, parents: list[UUID]) -> list[list[Row]]:
        return _by_parent(relation, parents, await self.rows(relation.of(parents)))

    async def _windows(self, relation: Relation, window: Window, parents: list[UUID]) -> list[Slice]:
        rows = await self.rows(order_of(relation).window(parents, window))
        slices = []
        for found in _by_parent(relation, parents, rows):
            kept = found[: window.size]
            slices.append(Slice(kept[::-1] if window.backwards else kept, len(found) > window.size))
        return slices

    async def _counts(self, relation: Relation, parents: list[UUID], wanted: Wanted | None) -> list[int]:
        counts = {row.parent: row.children for row in await self.rows(relation.count(parents, wanted))}
        return [counts[parent] for parent in parents]


def _by_parent(relation: Relation, parents: list[UUID], rows: Sequence[Row]) -> list[list[Row]]:
    children: dict[UUID, list[Row]] = {parent: [] for parent in parents}
    for row in rows:
        children[getattr(row, relation.key.key)].append(row)
    return list(children.values())
