"""Statements that an operation takes, through the whole application."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import UUID

from graphql import GraphQLNamedType, GraphQLObjectType, build_client_schema, get_introspection_query, get_named_type
from graphql.type import is_required_argument
from sqlalchemy import Engine, event

import domain
from benchmarks.comparing import Line, Say
from benchmarks.importing import as_csv
from benchmarks.world import Client, World, actor, application
from db.reads import ReadPool
from db.session import Bound, Database
from domain import portfolios_csv
from domain.plans import load
from schema import ids

PORTFOLIOS, POSITIONS = 20, 25
NESTED = """{ portfolios(first: 20) { edges { node { name positionCount costBasis
  positions(first: 25) { edges { node { symbol quantity entryPrice costBasis } } } } } } }"""
DEEPEST = 8


async def statements(world: World, say: Say) -> list[Line]:
    """The first one of each is the caller's account and standing; limits and usage are read once for a request."""
    lines = []
    with _counted() as seen:
        async with application(world) as client:
            person = client.person("user_statements")
            say("statements: making portfolios")
            [(_, user)] = filter(None, [ids.decode((await client.ask(person, "{ me { id } }"))["me"]["id"])])
            await _stock(world, user)
            for name, document in (
                ("me { everything }", await _everything(client, person)),
                (f"{PORTFOLIOS} portfolios with {POSITIONS} positions each", NESTED),
            ):
                say(f"statements: {name}")
                for _ in range(3):  # from the second time on there is a plan
                    seen.clear()
                    await client.ask(person, document)
                lines.append(
                    Line(f"statements for {name}", "", str(len(seen)), "at most 1" if document is NESTED else "")
                )
    return lines


@contextmanager
def _counted() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    fetch = ReadPool.fetch

    async def note_read(pool: ReadPool, read: Bound) -> Sequence[Any]:
        seen.append(read.prepared.sql)
        return await fetch(pool, read)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with patch.object(ReadPool, "fetch", note_read):
            yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def _stock(world: World, user: UUID) -> None:
    owner, plans, database = actor(user), load(None), Database(world.url)
    text = as_csv([(f"SYM{number}", Decimal(number), Decimal(10), number) for number in range(1, POSITIONS + 1)])
    try:
        async with database.transaction() as session:
            for _ in range(PORTFOLIOS):
                portfolio, _ = await domain.portfolios.create(
                    session, plans, owner, name="Benchmark", description=None, currency="USD"
                )
                file = portfolios_csv.parse(text)
                await domain.portfolios.import_positions(session, owner, portfolio, file, replace=False, dry_run=False)
    finally:
        await database.close()


async def _everything(client: Client, person: bytes) -> str:
    """A query of `me` with all that can be selected without arguments."""
    built = build_client_schema(await client.ask(person, get_introspection_query()))  # type: ignore[arg-type]  # it is one

    def selection(kind: GraphQLNamedType, depth: int) -> str:
        if not isinstance(kind, GraphQLObjectType):
            return ""
        inside = [
            f"{name} {below}"
            for name, field in kind.fields.items()
            if not any(map(is_required_argument, field.args.values()))
            and ((below := selection(get_named_type(field.type), depth - 1)) or _is_leaf(get_named_type(field.type)))
        ]
        return f"{{ {' '.join(inside)} }}" if inside and depth else ""

    return f"{{ me {selection(built.type_map['User'], DEEPEST)} }}"


def _is_leaf(kind: GraphQLNamedType) -> bool:
    return not hasattr(kind, "fields")
