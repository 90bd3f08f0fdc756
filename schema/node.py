"""The Relay node: anything with a global id. Which nodes exist and who may see them is in resolvers.nodes."""

from collections.abc import Callable, Hashable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, Self, cast
from uuid import UUID

import strawberry

from db import composed
from db.session import Row
from engine import sql
from schema import ids


@strawberry.interface(description="An object with a global id, which `node` finds again.")
class Node:
    pk: strawberry.Private[UUID]

    @strawberry.field(
        name="id",
        metadata={sql.COMPOSED: composed.global_id},
        description="The global id: opaque, stable, unique over all types.",
    )
    def global_id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(type(self).__name__, self.pk))

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Thin over a row: plain fields carry the names of its columns, and `pk` is the column `id`."""
        names, values_of = _columns(cast("Hashable", cls))
        return cls(**dict(zip(names, values_of(row), strict=True)))


@cache
def _columns(kind: Any) -> tuple[tuple[str, ...], Callable[[Row], tuple[Any, ...]]]:
    """The fields of a node that are read, not answered by a resolver, and what gets them of a row."""
    names = tuple(field.name for field in fields(kind) if field.init)
    return names, attrgetter(*("id" if name == "pk" else name for name in names))
