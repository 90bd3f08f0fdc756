"""The read executor of a request: runs declared `Select`s and batches relations. Which rows may be read is in them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from strawberry.dataloader import DataLoader

from db.queries.relation import Relation
from db.session import Database, Read, Row

MAX_AT_ONCE = 3
"""Connections that one request may hold for its reads."""


class Reader:
    """Runs reads; one for each request, because what it has loaded is remembered until the request ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaders: dict[Relation, DataLoader[UUID, list[Row]]] = {}
        self._at_once = asyncio.Semaphore(MAX_AT_ONCE)

    async def row(self, select: Read) -> Row | None:
        """The only row, or None."""
        rows = await self.rows(select)
        return rows[0] if rows else None

    async def rows(self, select: Read) -> Sequence[Row]:
        # A document with fifty root fields must not take the whole pool from everybody else.
        async with self._at_once:
            return await self._database.rows(select)

    async def children(self, relation: Relation, parent: UUID) -> list[Row]:
        """The related rows of one parent; asked for many parents at once, they come in one statement."""
        if relation not in self._loaders:
            self._loaders[relation] = DataLoader(load_fn=self._batch(relation))
        return await self._loaders[relation].load(parent)

    def forget(self) -> None:
        """Drop what was loaded: a mutation may have changed it."""
        self._loaders.clear()

    def _batch(self, relation: Relation) -> Callable[[list[UUID]], Awaitable[list[list[Row]]]]:
        async def load(parents: list[UUID]) -> list[list[Row]]:
            children: dict[UUID, list[Row]] = {parent: [] for parent in parents}
            for row in await self.rows(relation.of(parents)):
                children[getattr(row, relation.key.key)].append(row)
            return list(children.values())

        return load
