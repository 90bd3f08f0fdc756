"""Documents made to cost: refused by a named limit before they cost it, whatever shape they have."""

import asyncio
from typing import Any

import pytest
import strawberry
from graphql import get_introspection_query

from engine import Engine, Executed, GraphQLRequest, Limits, Reason, Refused


@strawberry.type
class Person:
    name: str = "Ada"

    @strawberry.field
    def friend(self, number: int = 1) -> "Person":
        return Person()


@strawberry.type
class Query:
    @strawberry.field
    def me(self, text: str = "", number: int = 1) -> Person:
        return Person()


@strawberry.interface
class Thing:
    id: strawberry.ID


@strawberry.type
class Friend(Thing):
    name: str = "Ada"
    tags: list[str] = strawberry.field(default_factory=lambda: ["a"])

    @strawberry.field
    def friends(self) -> "list[Friend] | None":
        return [Friend(id=self.id)] * 5

    @strawberry.field
    async def later(self) -> "list[Friend]":
        await asyncio.sleep(0)
        return [Friend(id=self.id)] * 5


@strawberry.type
class ListsQuery:
    @strawberry.field
    def things(self, ids: list[strawberry.ID] | None = None) -> list[Thing]:
        return [Friend(id=one) for one in ids or []]

    @strawberry.field
    def pages(self, first: int = 3, last: int | None = None, limit: int = 1) -> list[Friend]:
        return []

    @strawberry.field
    def tagged(self, tags: list[str]) -> list[Friend]:
        return []


@strawberry.type
class Edge:
    node: Friend
    cursor: str = ""


@strawberry.type
class Connection:
    edges: list[Edge] = strawberry.field(default_factory=list)
    total_count: int = 0

    @strawberry.field
    def nodes(self, ids: list[strawberry.ID] | None = None) -> list[Friend]:
        return []


@strawberry.type
class Owner:
    name: str = "Ada"

    @strawberry.field
    def friends(self, first: int | None = None, last: int | None = None) -> Connection:
        return Connection()

    @strawberry.field
    def graph(self) -> Connection:
        return Connection()

    @strawberry.field
    def graphs(self, first: int = 3) -> list[Connection]:
        return []


@strawberry.type
class Portfolio:
    @strawberry.field
    def positions(self, first: int | None = None, last: int | None = None) -> "PositionConnection":
        return PositionConnection()


@strawberry.type
class Position:
    portfolio: Portfolio
    symbol: str = "X"


@strawberry.type
class PositionEdge:
    node: Position


@strawberry.type
class PositionConnection:
    edges: list[PositionEdge] = strawberry.field(default_factory=list)


@strawberry.type
class PortfolioEdge:
    node: Portfolio


@strawberry.type
class PortfolioConnection:
    edges: list[PortfolioEdge] = strawberry.field(default_factory=list)


@strawberry.type
class PagesQuery(Owner):
    @strawberry.field
    def portfolios(self, first: int | None = None, last: int | None = None) -> PortfolioConnection:
        return PortfolioConnection()


pytestmark = pytest.mark.usefixtures("both_ways")

schema = strawberry.Schema(query=Query)
pages_schema = strawberry.Schema(query=PagesQuery)
lists_schema = strawberry.Schema(query=ListsQuery, types=[Friend])


async def answer(document: str, **limits: int) -> Executed | Refused:
    return await Engine(schema, limits=Limits(**limits)).execute(GraphQLRequest(document), None)


def doubling_fragments(count: int) -> str:
    """Each fragment spreads the next one twice under other names: 2^count fields."""
    fragments = "".join(
        f"fragment F{number} on Person {{ a: friend {{ ...F{number + 1} }} b: friend {{ ...F{number + 1} }} }}"
        for number in range(count)
    )
    return f"{{ me {{ ...F0 }} }} {fragments} fragment F{count} on Person {{ name }}"


async def refusal_of(document: str, **limits: int) -> Refused:
    refused = await answer(document, **limits)
    assert isinstance(refused, Refused)
    return refused


@pytest.mark.parametrize(
    ("document", "word"),
    [
        pytest.param(doubling_fragments(18), "aliases", id="18 chained fragments"),
        pytest.param(doubling_fragments(25), "levels", id="a chain of fragments too deep"),
        pytest.param("{ me { " + "friend { " * 60 + "name" + " }" * 62, "levels", id="fields too deep"),
        pytest.param("{ me { " + "... { " * 60 + "name" + " }" * 62, "levels", id="inline fragments too deep"),
        pytest.param("{ " + " ".join(f"a{n}: me {{ name }}" for n in range(1_000)) + " }", "tokens", id="aliases"),
        pytest.param(
            "{ " + " ".join(f"a{n}: me {{ name }}" for n in range(51)) + " }", "51 root fields; at most 50", id="roots"
        ),
        pytest.param(
            "{ ...A ... { ...B } } fragment A on Query { "
            + " ".join(f"a{n}: me {{ name }}" for n in range(26))
            + " } fragment B on Query { ...A "
            + " ".join(f"b{n}: me {{ name }}" for n in range(25))
            + " }",
            "51 root fields; at most 50",
            id="roots in fragments",
        ),
        pytest.param("{ me { " + " name" * 2_900 + " } }", "too often", id="one field over and over"),
        pytest.param("{ " + " me { name }" * 700 + " }", "too often", id="one object over and over"),
        pytest.param(
            "{ " + " ".join(f"me(number: {n}) {{ name }}" for n in range(300)) + " }", "too often", id="conflicts"
        ),
        pytest.param('{ me(text: "' + "x" * 60_000 + '") { name } }', "characters", id="a long string"),
        pytest.param("{ me { name } }" + "\n" * 6_000, "lines", id="empty lines"),
        pytest.param("{ me { name } }" + "\n#" * 3_500, "comments", id="comments"),
        pytest.param(
            "{ __schema { types { "
            + " ".join(f"a{n}: fields {{ type {{ b: fields {{ type {{ name }} }} }} }}" for n in range(40))
            + " } } }",
            "costs",
            id="introspection that multiplies",
        ),
        pytest.param(
            "{ __schema { types { ...T } } } fragment T on __Type { "
            + " ".join(f"a{n}: fields {{ type {{ b: fields {{ type {{ name }} }} }} }}" for n in range(40))
            + " }",
            "costs",
            id="introspection that multiplies in a fragment",
        ),
    ],
)
async def test_costly_documents_are_refused_and_the_limit_is_named(document: str, word: str) -> None:
    refused = await refusal_of(document)
    assert refused.reason is Reason.COMPLEXITY
    assert word in refused.errors[0].message


@pytest.mark.parametrize("opening", ["{", "{a(b:[", "{a(b:{c:", "query($a:[", "{...{"])
async def test_a_hundred_thousand_openings_are_a_refusal_and_not_a_crash(opening: str) -> None:
    """No RecursionError gets out, with the length limit lifted as well."""
    refused = await refusal_of(opening * 100_000, characters=10**7, tokens=10**7)
    assert refused.reason in (Reason.PARSE, Reason.COMPLEXITY)


async def test_a_thousand_fragments_in_a_row_and_cycles_are_refusals() -> None:
    cycle = "".join(f"fragment F{n} on Person {{ ...F{(n + 1) % 300} }}" for n in range(300))
    assert (await refusal_of("{ me { ...F0 } }" + cycle)).reason is Reason.COMPLEXITY
    short_cycle = "fragment A on Person { friend { ...B } } fragment B on Person { friend { ...A } }"
    assert (await refusal_of("{ me { ...A } }" + short_cycle)).reason is Reason.VALIDATION
    root_cycle = "fragment A on Query { ...B } fragment B on Query { ...A }"
    assert (await refusal_of("{ ...A }" + root_cycle)).reason is Reason.VALIDATION


async def test_the_deepest_and_widest_allowed_documents_run() -> None:
    deepest = await answer("{ me { " + "friend { " * 37 + "name" + " }" * 39)
    assert isinstance(deepest, Executed)
    assert not deepest.errors
    assert isinstance(await answer(doubling_fragments(12), aliases=10_000), Executed)
    assert isinstance(await answer("{ " + " ".join(f"a{n}: me {{ name }}" for n in range(50)) + " }"), Executed)


async def test_a_root_field_that_merges_counts_once() -> None:
    assert isinstance(await answer("{ " + "me { name } " * 60 + " }"), Executed)


async def test_the_introspection_query_of_graphiql_passes() -> None:
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    introspected = await answer(query)
    assert isinstance(introspected, Executed)
    assert introspected.data
    assert not introspected.errors


@pytest.mark.parametrize(
    ("document", "variables", "fields"),
    [
        ("{ tagged(tags: []) { name } }", {}, 11),
        ("{ tagged(tags: []) { name tags friends { name tags } } }", {}, 1 + 10 * (3 + 10 * 2)),
        ("{ things { id } }", {}, 11),
        ("{ things(ids: null) { id } }", {}, 11),
        ("{ things(ids: []) { id } }", {}, 2),
        ('{ things(ids: ["a", "b", "c"]) { id } }', {}, 4),
        ('{ things(ids: "a") { id } }', {}, 2),
        ("query($i: [ID!]) { things(ids: $i) { id } }", {"i": ["a"] * 4}, 5),
        ("query($i: [ID!]) { things(ids: $i) { id } }", {"i": "a"}, 2),
        ("query($i: [ID!]) { things(ids: $i) { id } }", {"i": None}, 11),
        ("query($i: [ID!]) { things(ids: $i) { id } }", {}, 11),
        ('query($i: [ID!] = ["a", "b"]) { things(ids: $i) { id } }', {}, 3),
        ('query($i: [ID!] = ["a", "b"]) { things(ids: $i) { id } }', {"i": ["a"] * 4}, 5),
        ('query($i: ID!) { things(ids: [$i, "b"]) { id } }', {"i": "a"}, 3),
        ("query($i: [ID!]!) { ...F } fragment F on Query { things(ids: $i) { id } }", {"i": ["a"] * 4}, 5),
        ("{ pages { name } }", {}, 4),
        ("{ pages(first: 7, limit: 50) { name } }", {}, 8),
        ("{ pages(last: 8) { name } }", {}, 9),
        ("query($n: Int!) { pages(first: $n) { name } }", {"n": 7}, 8),
        ("query($n: Int = 6) { pages(first: $n) { name } }", {}, 7),
        ("{ pages(first: -7) { name } }", {}, 2),
        ('{ things(ids: ["a", "b"]) { ... on Friend { friends { name } } } }', {}, 1 + 2 * (1 + 10)),
        (
            '{ things(ids: ["a", "b"]) { ...F } } fragment F on Friend { a: friends { ...G } b: friends { ...G } } '
            "fragment G on Friend { name }",
            {},
            1 + 2 * 2 * (1 + 10),
        ),
    ],
)
async def test_fields_count_for_every_item_of_their_list(document: str, variables: dict[str, Any], fields: int) -> None:
    """A list is as long as the ids or the page asked for, else as `list_size` says."""
    request = GraphQLRequest(document.replace("on Query", "on ListsQuery"), variables)
    enough = await Engine(lists_schema, limits=Limits(list_size=10, cost=fields)).execute(request, None)
    assert isinstance(enough, Executed)
    refused = await Engine(lists_schema, limits=Limits(list_size=10, cost=fields - 1)).execute(request, None)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.COMPLEXITY
    assert refused.errors[0].extensions == {"measure": "cost", "limit": fields - 1, "requested": fields}


@pytest.mark.parametrize(
    ("document", "variables", "fields"),
    [
        ("{ friends { totalCount } }", {}, 2),
        ("{ friends { edges { node { name } } } }", {}, 2 + 7 * 2),
        ("{ friends { totalCount edges { cursor node { name } } } }", {}, 3 + 7 * 3),
        ("{ friends(first: 30) { edges { node { name } } } }", {}, 2 + 30 * 2),
        ("{ friends(last: 30) { edges { node { name } } } }", {}, 2 + 30 * 2),
        ("{ friends(first: 3, last: 30) { edges { node { name } } } }", {}, 2 + 30 * 2),
        ("{ friends(first: null) { edges { node { name } } } }", {}, 2 + 7 * 2),
        ("{ friends(first: -5) { edges { node { name } } } }", {}, 2 + 2),
        ("{ friends(first: 30) { nodes { name } edges { cursor } } }", {}, 3 + 30 * 2),
        ("{ friends(first: 30) { a: edges { cursor } b: edges { cursor } } }", {}, 3 + 30 * 2),
        ('{ friends(first: 30) { nodes(ids: ["a", "b"]) { name } } }', {}, 2 + 2),
        ("{ friends(first: 30) { nodes { friends { name } } } }", {}, 2 + 30 * (1 + 10)),
        ("{ graph { edges { cursor } } }", {}, 2 + 10),
        ("{ graphs(first: 4) { edges { cursor } } }", {}, 1 + 4 * (1 + 10)),
        ("query($n: Int) { friends(first: $n) { edges { cursor } } }", {"n": 30}, 2 + 30),
        ("query($n: Int) { friends(first: $n) { edges { cursor } } }", {"n": None}, 2 + 7),
        ("query($n: Int) { friends(first: $n) { edges { cursor } } }", {}, 2 + 7),
        ("query($n: Int = 6) { friends(first: $n) { edges { cursor } } }", {}, 2 + 6),
        ("{ friends(first: 30) { ...F } } fragment F on Connection { edges { cursor } }", {}, 2 + 30),
        ("{ friends(first: 30) { ... { edges { cursor } } } }", {}, 2 + 30),
        (
            "{ a: friends(first: 30) { ...F } b: friends(last: 5) { ...F } c: graph { ...F } } "
            "fragment F on Connection { ...G } fragment G on Connection { totalCount edges { cursor } }",
            {},
            3 + (2 + 30) + (2 + 5) + (2 + 10),
        ),
        (
            "{ portfolios(first: 3) { edges { node { positions(first: 5) { edges { node { symbol } } } } } } }",
            {},
            2 + 3 * (1 + 2 + 5 * 2),
        ),
    ],
)
async def test_the_lists_of_a_connection_are_as_long_as_its_page(
    document: str, variables: dict[str, Any], fields: int
) -> None:
    request = GraphQLRequest(document, variables)
    limits = {"list_size": 10, "page_size": 7}
    enough = await Engine(pages_schema, limits=Limits(**limits, cost=fields)).execute(request, None)
    assert isinstance(enough, Executed)
    refused = await Engine(pages_schema, limits=Limits(**limits, cost=fields - 1)).execute(request, None)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.COMPLEXITY


async def test_nested_pages_pass_and_their_abuse_is_refused() -> None:
    engine = Engine(pages_schema)
    ten = " ".join(f"f{n}: symbol" for n in range(10))
    usual = "{ portfolios(first: 20) { edges { node { positions(first: 25) { edges { node { %s } } } } } } }"
    assert isinstance(await engine.execute(GraphQLRequest(usual % ten), None), Executed)
    deeper = ten + " portfolio { positions(first: 25) { edges { node { symbol } } } }"
    abuses: list[tuple[str, dict[str, int]]] = [
        (usual % deeper, {}),
        (usual.replace("25", "100").replace("20", "100") % ten, {}),
    ]
    by_variable = usual.replace("{", "query($n: Int) {", 1).replace("25", "$n").replace("20", "$n") % ten
    abuses.append((by_variable, {"n": 100}))
    for document, variables in abuses:
        refused = await engine.execute(GraphQLRequest(document, variables), None)
        assert isinstance(refused, Refused)
        assert refused.reason is Reason.COMPLEXITY
    assert isinstance(await engine.execute(GraphQLRequest(by_variable, {"n": 20}), None), Executed)


async def test_a_fragment_in_pages_of_different_sizes_is_walked_once() -> None:
    """Each one spreads the next one in two pages: 2^60 walks, if their sizes were known to the fragment."""
    fragments = " ".join(
        f"fragment F{n} on PositionConnection {{ edges {{ node {{ portfolio {{ "
        f"a: positions(first: 1) {{ ...F{n + 1} }} b: positions(first: 2) {{ ...F{n + 1} }} }} }} }} }}"
        for n in range(60)
    )
    last = "fragment F60 on PositionConnection { edges { __typename } }"
    document = f"{{ portfolios {{ edges {{ node {{ positions {{ ...F0 }} }} }} }} }} {fragments} {last}"
    limits = Limits(depth=1_000, aliases=10**12)
    refused = await Engine(pages_schema, limits=limits).execute(GraphQLRequest(document), None)
    assert isinstance(refused, Refused)
    assert refused.errors[0].extensions == {"measure": "cost", "limit": 20_000, "requested": 2**31 - 1}


async def test_a_hundred_objects_with_a_hundred_children_of_a_hundred_fields_are_refused() -> None:
    """The document is of a kilobyte, the answer would be of a million fields."""
    names = " ".join(f"f{n}: name" for n in range(100))
    document = f"query($i: [ID!]) {{ things(ids: $i) {{ ... on Friend {{ friends {{ {names} }} }} }} }}"
    engine = Engine(lists_schema)
    one = GraphQLRequest(document, {"i": ["a"]})
    hundred = GraphQLRequest(document, {"i": ["a"] * 100})
    assert isinstance(await engine.execute(one, None), Executed)
    refused = await engine.execute(hundred, None)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.COMPLEXITY
    assert isinstance(await engine.execute(one, None), Executed)


@pytest.mark.parametrize("number", ["9" * 5_000, "2147483648"])
async def test_a_number_out_of_range_is_a_refusal_and_not_a_crash(number: str) -> None:
    engine = Engine(lists_schema)
    literal = await engine.execute(GraphQLRequest(f"{{ pages(first: {number}) {{ name }} }}"), None)
    assert isinstance(literal, Refused)
    asked = GraphQLRequest("query($n: Int!) { pages(first: $n) { name } }", {"n": float(number[:300])})
    assert isinstance(await engine.execute(asked, None), Refused)


@pytest.mark.parametrize("field", ["friends", "later"])
async def test_lists_longer_than_they_were_taken_for_are_cut_off(field: str) -> None:
    before = asyncio.all_tasks()
    nested = f"{{ things(ids: [1, 2]) {{ ... on Friend {{ {field} {{ {field} {{ name }} }} }} }} }}"
    request = GraphQLRequest(nested)
    # 2 things with one field, their 5 friends each with one, and the 5 of each of those with one
    whole = await Engine(lists_schema, limits=Limits(list_size=1, executed_fields=62)).execute(request, None)
    assert isinstance(whole, Executed)
    assert not whole.errors
    cut = await Engine(lists_schema, limits=Limits(list_size=1, executed_fields=61)).execute(request, None)
    assert isinstance(cut, Refused)
    assert cut.reason is Reason.COMPLEXITY
    assert "61 fields" in cut.errors[0].message
    assert cut.errors[0].extensions == {"measure": "executedFields", "limit": 61}
    assert asyncio.all_tasks() == before
