"""The Relay node: anything with a global id. Which nodes exist and who may see them is in resolvers.nodes."""

from collections.abc import Hashable
from dataclasses import fields
from functools import cache
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
        return cls(pk=row.id, **{name: getattr(row, name) for name in _columns(cast("Hashable", cls))})


@cache
def _columns(kind: Any) -> tuple[str, ...]:
    """The fields of a node that are read, not answered by a resolver; without `pk`."""
    return tuple(field.name for field in fields(kind) if field.init and field.name != "pk")
