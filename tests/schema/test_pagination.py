"""Connections over a real table: pages walked as clients do, totals, statements counted, every bad argument refused."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import strawberry
from sqlalchemy import delete, insert, select
from strawberry.schema.config import StrawberryConfig

import errors
from db.models import ApiKey
from db.queries.relation import Relation
from db.session import Database
from engine import Engine, Executed, GraphQLRequest, Limits
from schema.context import Info
from schema.node import Node
from schema.pagination import DEFAULT_PAGE, After, Before, Connection, First, Last, Page, connect
from schema.reading import Reader
from schema.scalars import SCALARS
from tests.people import People

COLUMNS = (ApiKey.id, ApiKey.user_id, ApiKey.name, ApiKey.created_at)
NEWEST = Relation(select(*COLUMNS), ApiKey.user_id, (ApiKey.created_at.desc(), ApiKey.id.desc()))
NAMED = Relation(select(*COLUMNS), ApiKey.user_id, (ApiKey.name, ApiKey.id.desc()))
MOMENT = datetime(2026, 11, 20, tzinfo=UTC)


@strawberry.type(description="A thing.")
class Thing(Node):
    name: str = strawberry.field(description="Its name.")


@strawberry.type
class Owner:
    pk: strawberry.Private[UUID]

    @strawberry.field
    async def things(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Thing]:
        return connect(Thing, Page(first, after, last, before).of(NEWEST), self.pk)

    @strawberry.field
    async def named(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Thing]:
        return connect(Thing, Page(first, after, last, before).of(NAMED), self.pk)


@strawberry.type
class Query:
    @strawberry.field
    def owners(self, keys: list[strawberry.ID]) -> list[Owner]:
        return [Owner(pk=UUID(key)) for key in keys]


schema = strawberry.Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))


@dataclass
class Context:
    read: Reader


@dataclass
class Shop:
    """Three owners with 45, 3 and no things."""

    database: Database
    owners: list[UUID]

    async def ask(self, document: str, **variables: Any) -> Executed:
        request = GraphQLRequest(document, {"keys": list(map(str, self.owners)), **variables})
        answered = await Engine(schema).execute(request, Context(Reader(self.database)))
        assert isinstance(answered, Executed), answered
        return answered

    async def page(self, field: str, arguments: str, owner: int = 0) -> Any:
        document = f"""query($key: ID!) {{ owners(keys: [$key]) {{ {field}({arguments}) {{
          edges {{ cursor node {{ id name }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
        }} }} }}"""
        answered = await Engine(schema).execute(
            GraphQLRequest(document, {"key": str(self.owners[owner])}), Context(Reader(self.database))
        )
        assert isinstance(answered, Executed), answered
        assert not answered.errors, answered.errors
        assert answered.data is not None
        return answered.data["owners"][0][field]

    async def refusal(self, arguments: str) -> dict[str, str]:
        """The faults of these arguments, by path."""
        answered = await self.ask(
            f"query($keys: [ID!]!) {{ owners(keys: $keys) {{ things({arguments}) {{ totalCount }} }} }}"
        )
        [error, *_] = answered.errors
        assert isinstance(error.original_error, errors.BadUserInput)
        return {fault["path"]: fault["message"] for fault in error.original_error.details["fields"]}


async def stock(database: Database, owner: UUID, count: int, since: datetime = MOMENT) -> None:
    """Three of them in each microsecond."""
    keys: list[dict[str, Any]] = [
        {
            "id": uuid4(),
            "user_id": owner,
            "name": f"thing {number % 7}",
            "prefix": "x",
            "digest": uuid4().bytes * 2,
            "sealed": None,
            "scopes": [],
            "created_at": since + timedelta(microseconds=number // 3),
            "last_used_at": None,
            "expires_at": None,
            "revoked_at": None,
        }
        for number in range(count)
    ]
    async with database.transaction() as session:
        await session.execute(insert(ApiKey), keys)


@pytest.fixture
async def shop(make: People, database: Database) -> AsyncIterator[Shop]:
    owners = [(await make.person()).user_id for _ in range(3)]
    async with database.transaction() as session:
        await session.execute(delete(ApiKey).where(ApiKey.user_id.in_(owners)))
    for owner, count in zip(owners, (45, 3), strict=False):
        await stock(database, owner, count)
    yield Shop(database, owners)
    async with database.transaction() as session:
        await session.execute(delete(ApiKey).where(ApiKey.user_id.in_(owners)))


def names_in(page: Any) -> list[str]:
    return [edge["node"]["id"] for edge in page["edges"]]


@pytest.mark.parametrize("field", ["things", "named"])
@pytest.mark.parametrize("size", [1, 20, 44, 45, 46, 100])
async def test_a_client_walks_the_whole_list_in_both_directions(shop: Shop, field: str, size: int) -> None:
    whole = names_in(await shop.page(field, "first: 100"))
    assert len(set(whole)) == 45
    forwards: list[str] = []
    arguments, more = f"first: {size}", True
    while more:
        page = await shop.page(field, arguments)
        assert page["pageInfo"]["hasPreviousPage"] is bool(forwards)
        forwards += names_in(page)
        assert len(forwards) <= 45
        more = page["pageInfo"]["hasNextPage"]
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        arguments = f'first: {size}, after: "{page["pageInfo"]["endCursor"]}"'
    assert forwards == whole
    backwards: list[str] = []
    arguments, more = f"last: {size}", True
    while more:
        page = await shop.page(field, arguments)
        assert page["pageInfo"]["hasNextPage"] is bool(backwards)
        backwards[:0] = names_in(page)
        assert len(backwards) <= 45
        more = page["pageInfo"]["hasPreviousPage"]
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        arguments = f'last: {size}, before: "{page["pageInfo"]["startCursor"]}"'
    assert backwards == whole


async def test_the_lists_are_in_their_orders(shop: Shop) -> None:
    named = await shop.page("named", "first: 100")
    names = [edge["node"]["name"] for edge in named["edges"]]
    assert names == sorted(names)
    newest = await shop.page("things", "first: 100")
    async with shop.database.transaction() as session:
        ordered = select(ApiKey.id).where(ApiKey.user_id == shop.owners[0]).order_by(*NEWEST.order_by)
        expected = (await session.scalars(ordered)).all()
    assert [Thing(pk=pk, name="").global_id() for pk in expected] == names_in(newest)


async def test_without_a_size_twenty_and_an_empty_list_has_no_cursors(shop: Shop) -> None:
    page = await shop.page("things", "first: null")
    assert len(page["edges"]) == DEFAULT_PAGE == Limits().page_size
    empty = await shop.page("things", "first: 5", owner=2)
    assert empty["edges"] == []
    nowhere = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
    assert empty["pageInfo"] == nowhere


async def test_both_bounds_hold_in_both_directions(shop: Shop) -> None:
    whole = await shop.page("things", "first: 100")
    after, before = whole["edges"][9]["cursor"], whole["edges"][20]["cursor"]
    first = await shop.page("things", f'first: 4, after: "{after}", before: "{before}"')
    assert names_in(first) == names_in(whole)[10:14]
    assert first["pageInfo"]["hasNextPage"]
    assert first["pageInfo"]["hasPreviousPage"]
    last = await shop.page("things", f'last: 40, after: "{after}", before: "{before}"')
    assert names_in(last) == names_in(whole)[10:20]
    crossed = await shop.page("things", f'first: 4, after: "{before}", before: "{after}"')
    assert crossed["edges"] == []


async def test_new_objects_do_not_move_the_pages_behind_them(shop: Shop) -> None:
    whole = names_in(await shop.page("things", "first: 100"))
    page = await shop.page("things", "first: 20")
    await stock(shop.database, shop.owners[0], 10, MOMENT + timedelta(hours=1))
    rest = await shop.page("things", f'first: 100, after: "{page["pageInfo"]["endCursor"]}"')
    assert names_in(page) + names_in(rest) == whole


async def test_many_parents_take_one_statement_and_their_totals_another(shop: Shop, statements: list[str]) -> None:
    lists = "query($keys: [ID!]!) { owners(keys: $keys) { things(first: 25) { edges { node { name } } } } }"
    statements.clear()
    answered = await shop.ask(lists)
    assert answered.data is not None
    assert [len(owner["things"]["edges"]) for owner in answered.data["owners"]] == [25, 3, 0]
    assert len(statements) == 1
    statements.clear()
    answered = await shop.ask(lists.replace("edges {", "totalCount edges {"))
    assert answered.data is not None
    assert [owner["things"]["totalCount"] for owner in answered.data["owners"]] == [45, 3, 0]
    assert len(statements) == 2
    statements.clear()
    both = """a: things(first: 2) { totalCount edges { cursor } } b: things(last: 2) { totalCount edges { cursor } }
            c: things(first: 2) { pageInfo { hasNextPage } }"""
    await shop.ask(f"query($keys: [ID!]!) {{ owners(keys: $keys) {{ {both} }} }}")
    # Each page once, however often it is asked for, and the totals once for all pages.
    assert len(statements) == 3


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        ("first: 0", {"first"}),
        ("first: -1", {"first"}),
        ("first: 101", {"first"}),
        ("last: 0", {"last"}),
        ("last: 101", {"last"}),
        ("first: 5, last: 5", {"last"}),
        ('after: ""', {"after"}),
        ('before: "x"', {"before"}),
        ('first: 0, last: 500, after: "x", before: "x"', {"first", "last", "after", "before"}),
    ],
)
async def test_bad_arguments_are_refused_all_at_once(
    shop: Shop, statements: list[str], arguments: str, paths: set[str]
) -> None:
    statements.clear()
    faults = await shop.refusal(arguments)
    assert set(faults) == paths
    assert statements == []


async def test_a_cursor_of_another_order_is_refused(shop: Shop) -> None:
    named = await shop.page("named", "first: 1")
    cursor = named["pageInfo"]["endCursor"]
    assert await shop.refusal(f'after: "{cursor}"') == {"after": "Not a cursor of this list."}
    own = (await shop.page("things", "first: 1"))["pageInfo"]["endCursor"]
    for wrong in (own + "=", own[:-1], own + "A", own.swapcase()):
        assert await shop.refusal(f'after: "{wrong}"') == {"after": "Not a cursor of this list."}


def test_types_carry_the_name_of_what_they_list() -> None:
    printed = schema.as_str()
    for line in (
        "type ThingConnection {",
        "type ThingEdge {",
        "edges: [ThingEdge!]!",
        "node: Thing!",
        "cursor: String!",
        "pageInfo: PageInfo!",
        "totalCount: Int!",
    ):
        assert line in printed
