"""Generated documents over the whole schema: compiled and composed, they are answered as graphql-core answers them."""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resolvers.root import schema
from tests.engine.documents_strategy import Case, cases
from tests.gql import Gql
from tests.people import People, Person

CASES = int(os.environ.get("ENGINE_CASES", "1000")) // 4
"""Each asks three times, through the whole application; the rest of the cases are those of tests/engine."""

CURSORS = """{ scans(first: 3) { edges { cursor node { id findings(first: 1) { edges { cursor node { id } } } } } }
  portfolios(first: 2) { edges { cursor node { id positions(first: 1) { edges { cursor node { id } } } } } }
  conversations { edges { cursor node { id } } } me { id apiKeys { id } } }"""
LITERALS: dict[str, list[tuple[str, Any]]] = {
    "Int": [(str(number), number) for number in (1, 2, 3, 100, 7)],
    "String": [('"scans"', "scans"), ('"aiMessages"', "aiMessages"), ('"to-ol 1"', "to-ol 1"), ('"%"', "%")],
    "DateTime": [('"2026-01-01T00:00:00Z"', "2026-01-01T00:00:00Z"), ('"2027-06-01T00:00:00+02:00"', "soon")],
}


def found_in(value: Any, key: str) -> list[str]:
    """All values under this key."""
    if isinstance(value, dict):
        here = [value[key]] if key in value else []
        return here + [one for inside in value.values() for one in found_in(inside, key)]
    return [one for inside in value for one in found_in(inside, key)] if isinstance(value, list) else []


@pytest.fixture(scope="session")
async def literals(gql: Gql, owner: Person) -> dict[str, list[tuple[str, Any]]]:
    """Ids and cursors that are there, beside those that are not."""
    known = (await gql(owner, CURSORS)).data
    ids, cursors = found_in(known, "id"), found_in(known, "cursor")
    return {
        **LITERALS,
        "ID": [(json.dumps(one), one) for one in [*ids, "nonsense"]],
        "String": [*LITERALS["String"], *((json.dumps(one), one) for one in cursors)],
    }


# What is cancelled before it began leaves a coroutine behind, with graphql-core as well.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.usefixtures("nobody_answers")
@settings(max_examples=CASES, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
async def test_the_same_answer_whatever_is_asked(
    data: st.DataObject, gql: Gql, plain: Gql, owner: Person, literals: dict[str, list[tuple[str, Any]]]
) -> None:
    case: Case = data.draw(cases(schema._schema, scalars=literals, depth=6, fields=30))
    document = case.query.replace("query Other { __typename }", "")
    expected = await plain(owner, document, **case.variables)
    for _ in range(3):
        answer = await gql(owner, document, **case.variables)
        assert (answer.status, json.dumps(answer.data)) == (expected.status, json.dumps(expected.data)), document
        assert sorted(map(str, answer.errors)) == sorted(map(str, expected.errors)) or (
            # Of several errors in what became null, the first one is told (GraphQL specification, section 6.4.4), and
            # which is the first hangs on how long each field takes.
            len(answer.errors) == len(expected.errors) and "null" in json.dumps(expected.data)
        ), document


@pytest.mark.parametrize(
    "document",
    [
        '{ node(id: "nonsense") { id } scans(first: 0) { totalCount } me { id } }',
        "{ me { scans(first: 0) { totalCount } } portfolios(first: 0) { totalCount } }",
        '{ entitlement(feature: "nope") { allowed } scans(first: 0) { totalCount } }',
        "{ conversations { totalCount } me { id } }",
    ],
)
async def test_what_is_wrong_with_one_field_keeps_no_other_from_being_told(
    document: str, gql: Gql, plain: Gql, owner: Person, make: People
) -> None:
    for who in (owner, await make.key(owner, "scans:read"), None):
        expected = await plain(who, document)
        for _ in range(3):
            assert (await gql(who, document)).body == expected.body
