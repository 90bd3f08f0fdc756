"""The Relay node: anything with a global id. Which nodes exist and who may see them is in resolvers.nodes."""

from dataclasses import fields
from typing import Self
from uuid import UUID

import strawberry

from db.session import Row
from schema import ids


@strawberry.interface(description="An object with a global id, which `node` finds again.")
class Node:
    pk: strawberry.Private[UUID]

    @strawberry.field(name="id", description="The global id: opaque, stable, unique over all types.")
    def global_id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(type(self).__name__, self.pk))

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Thin over a row: plain fields carry the names of its columns, and `pk` is the column `id`."""
        values = row._asdict()
        names = {field.name for field in fields(cls)}
        return cls(pk=values["id"], **{name: value for name, value in values.items() if name in names})
