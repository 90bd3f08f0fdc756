"""Ariadne: the schema as text, documents cached, and the reads and writes of the tuned Strawberry in its resolvers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from aiodataloader import DataLoader
from ariadne import MutationType, ObjectType, QueryType, ScalarType, make_executable_schema
from ariadne.asgi import GraphQL
from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse, validate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.peers.servers.rows import Data, Rows
from benchmarks.peers.servers.world import Tokens, World, subject

_WORLD = World.told()
_TOKENS = Tokens(_WORLD)
_ROWS = Rows(_WORLD)


@dataclass(slots=True)
class Context:
    subject: str
    positions: Any


async def me(_root: object, info: Any) -> Data | None:
    return await _ROWS.me(info.context.subject)


async def portfolio_count(user: Data, _info: object) -> int:
    return await _ROWS.portfolio_count(user["key"])


async def scans(_root: object, info: Any, first: int) -> Data:
    return await _ROWS.scans(info.context.subject, first)


async def total_count(_connection: object, info: Any) -> int:
    return await _ROWS.scan_count(info.context.subject)


async def portfolios(_root: object, info: Any, first: int) -> Data:
    return await _ROWS.portfolios(info.context.subject, first)


def positions(portfolio: Data, info: Any, first: int) -> Any:
    return info.context.positions.load((portfolio["key"], first))


async def create_scan(_root: object, info: Any, input: Data) -> Data:
    return await _ROWS.create_scan(info.context.subject, input)


def _schema() -> GraphQLSchema:
    query, mutation = QueryType(), MutationType()
    user, connection, portfolio = ObjectType("User"), ObjectType("ScanConnection"), ObjectType("Portfolio")
    for kind, name, resolver in (
        (query, "me", me),
        (query, "scans", scans),
        (query, "portfolios", portfolios),
        (user, "portfolioCount", portfolio_count),
        (connection, "totalCount", total_count),
        (portfolio, "positions", positions),
        (mutation, "createScan", create_scan),
    ):
        kind.set_field(name, resolver)
    scalars = (
        ScalarType("DateTime", serializer=datetime.isoformat, value_parser=datetime.fromisoformat),
        ScalarType("Date", serializer=date.isoformat),
        ScalarType("Decimal", serializer=str),
    )
    text = (Path(__file__).parent / "peers.graphql").read_text()
    made: GraphQLSchema = make_executable_schema(
        text, query, mutation, user, connection, portfolio, *scalars, convert_names_case=True
    )
    return made


@lru_cache
def _parsed(text: str) -> DocumentNode:
    return parse(text)


@lru_cache
def _validated(schema: GraphQLSchema, document: DocumentNode) -> list[GraphQLError]:
    return validate(schema, document)


def _context(request: Request, _data: object) -> Context:
    async def load(asked: list[tuple[UUID, int]]) -> list[Data]:
        return await _ROWS.positions(asked)

    return Context(subject(_TOKENS, request), DataLoader(load))


@asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    await _ROWS.open()
    yield
    await _ROWS.close()


_endpoint = GraphQL(
    _schema(),
    context_value=_context,
    query_parser=lambda _context, data: _parsed(data["query"]),
    query_validator=lambda schema, document, *_, **__: _validated(schema, document),
)
app = Starlette(routes=[Route("/graphql", _endpoint)], lifespan=_lifespan)
