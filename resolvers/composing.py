"""How the engine asks Postgres for whole pages: with the scalars of this API, through the reader of the request."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from db.composed import COSTLY, SPELLED
from db.session import Read
from db.statements import PreparedText
from engine.sql import Ahead, Composer, Fetch
from resolvers.root import schema
from schema.context import Context


def _prepare(make: Callable[[], Read]) -> Fetch:
    prepared = PreparedText(make)

    def fetch(context: Context, parent: UUID, values: Mapping[str, Any], ahead: Ahead | None) -> str | Awaitable[str]:
        known = context.caller.page(ahead, parent) if ahead is not None else None
        return context.read.value(prepared(**values, parent=parent)) if known is None else known

    return fetch


composer = Composer(schema, SPELLED, _prepare, COSTLY)
