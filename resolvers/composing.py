"""How the engine asks Postgres for whole pages: with the scalars of this API, through the reader of the request."""

from collections.abc import Mapping
from typing import Any

from db.composed import SPELLED
from db.session import Read
from db.statements import Prepared
from engine.sql import Composer, Fetch
from resolvers.root import schema
from schema.context import Context


def _prepare(statement: Read) -> Fetch:
    prepared = Prepared(statement)

    async def fetch(context: Context, values: Mapping[str, Any]) -> str:
        json: str = await context.read.value(prepared(**values))
        return json

    return fetch


composer = Composer(schema, SPELLED, _prepare)
