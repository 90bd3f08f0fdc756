"""Documents made to cost: refused by a named limit before they cost it, whatever shape they have."""

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


schema = strawberry.Schema(query=Query)


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
        pytest.param(doubling_fragments(18), "fields", id="18 chained fragments"),
        pytest.param(doubling_fragments(25), "levels", id="a chain of fragments too deep"),
        pytest.param("{ me { " + "friend { " * 60 + "name" + " }" * 62, "levels", id="fields too deep"),
        pytest.param("{ me { " + "... { " * 60 + "name" + " }" * 62, "levels", id="inline fragments too deep"),
        pytest.param("{ " + " ".join(f"a{n}: me {{ name }}" for n in range(1_000)) + " }", "tokens", id="aliases"),
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
            + " ".join(f"a{n}: fields {{ type {{ b: fields {{ type {{ name }} }} }} }}" for n in range(60))
            + " } } }",
            "fields",
            id="introspection that multiplies",
        ),
        pytest.param(
            "{ __schema { types { ...T } } } fragment T on __Type { "
            + " ".join(f"a{n}: fields {{ type {{ b: fields {{ type {{ name }} }} }} }}" for n in range(60))
            + " }",
            "fields",
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


async def test_the_deepest_and_widest_allowed_documents_run() -> None:
    deepest = await answer("{ me { " + "friend { " * 37 + "name" + " }" * 39)
    assert isinstance(deepest, Executed)
    assert not deepest.errors
    assert isinstance(await answer(doubling_fragments(12)), Executed)


async def test_the_introspection_query_of_graphiql_passes() -> None:
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )
    introspected = await answer(query)
    assert isinstance(introspected, Executed)
    assert introspected.data
    assert not introspected.errors
