"""Automatic persisted queries over HTTP, as Apollo's clients speak them, and the cost of an operation on request."""

import hashlib
import json
from typing import Any

import httpx
import pytest

from tests.gql import Gql
from tests.people import People

GRAPHQL_JSON = "application/graphql-response+json"
ME = "query Me { me { username } }"
CREATE = 'mutation { createPortfolio(input: {name: "Mine"}) { portfolio { name } } }'


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(text: str, **changed: Any) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text), **changed}}


class Door:
    """Asks as Apollo's clients do."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def post(self, headers: dict[str, str], accept: str = GRAPHQL_JSON, **body: Any) -> httpx.Response:
        return await self.client.post("/graphql", json=body, headers={**headers, "Accept": accept})

    async def get(self, headers: dict[str, str], accept: str = GRAPHQL_JSON, **parameters: Any) -> httpx.Response:
        spelled = {name: one if isinstance(one, str) else json.dumps(one) for name, one in parameters.items()}
        return await self.client.get("/graphql", params=spelled, headers={**headers, "Accept": accept})


@pytest.fixture(params=["compiled", "graphql-core"])
def door(request: pytest.FixtureRequest, gql: Gql, plain: Gql) -> Door:
    return Door((gql if request.param == "compiled" else plain).client)


def code_of(response: httpx.Response) -> str:
    body = response.json()
    assert "data" not in body
    code = body["errors"][0]["extensions"]["code"]
    assert isinstance(code, str)
    return code


async def test_a_bad_credential_registers_nothing_and_finds_nothing(door: Door, make: People) -> None:
    text = ME + " # nobody's"
    bad = {"Authorization": "Bearer nonsense"}
    for body in ({"query": text}, {}):
        refused = await door.post(bad, extensions=persisted(text), **body)
        assert (refused.status_code, code_of(refused)) == (401, "UNAUTHENTICATED")
    asked = await door.post((await make.person()).headers, extensions=persisted(text))
    assert code_of(asked) == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_hash_is_no_credential(door: Door, make: People) -> None:
    """What others have registered is asked anew, for whoever asks."""
    text = ME + " # everybody's"
    owner = await make.person()
    await door.post(owner.headers, query=text, extensions=persisted(text))
    stranger = (await door.post({}, extensions=persisted(text))).json()
    assert stranger["data"] == {"me": None}
    assert stranger["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    for person in (owner, await make.person()):
        answer = (await door.post(person.headers, extensions=persisted(text))).json()
        assert answer == (await door.post(person.headers, query=ME)).json()


async def test_a_mutation_never_runs_by_get(door: Door, make: People) -> None:
    person = await make.person()
    first = await door.get(person.headers, query=CREATE, extensions=persisted(CREATE))
    made = await door.post(person.headers, query=CREATE, extensions=persisted(CREATE))
    assert made.json()["data"]["createPortfolio"]
    for refused in (first, await door.get(person.headers, extensions=persisted(CREATE))):
        assert refused.status_code == 405
        assert refused.headers["Allow"] == "POST"
        assert code_of(refused) == "BAD_USER_INPUT"
    count = await door.post(person.headers, query="{ me { portfolioCount } }")
    assert count.json()["data"]["me"]["portfolioCount"] == 1
    again = await door.post(person.headers, extensions=persisted(CREATE))
    assert again.json()["data"]["createPortfolio"]


@pytest.mark.parametrize(("accept", "status"), [(GRAPHQL_JSON, 400), ("application/json", 200), ("*/*", 200)])
@pytest.mark.parametrize("verb", ["get", "post"])
async def test_the_way_of_apollos_clients(door: Door, make: People, accept: str, status: int, verb: str) -> None:
    """The hash alone, then hash and text by POST, then the hash alone: the link reads message or code of the first."""
    person = await make.person()
    text = f"query Me($a: Boolean!) {{ me {{ username @include(if: $a) }} }} # {accept} {verb}"
    short = {"operationName": "Me", "variables": {"a": True}, "extensions": persisted(text)}
    ask = door.get if verb == "get" else door.post
    unknown = await ask(person.headers, accept, **short)
    assert unknown.status_code == status
    assert unknown.json() == {
        "errors": [{"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}]
    }
    assert unknown.headers["Cache-Control"] == "no-store"
    registered = await door.post(person.headers, accept, query=text, **short)
    assert registered.json()["data"]["me"]["username"]
    for _ in range(3):
        found = await ask(person.headers, accept, **short)
        assert found.status_code == 200
        assert found.json() == registered.json()


@pytest.mark.parametrize(
    ("extensions", "path"),
    [
        (persisted(ME, version=2), "extensions.persistedQuery.version"),
        (persisted(ME, version="1"), "extensions.persistedQuery.version"),
        (persisted(ME, version=True), "extensions.persistedQuery.version"),
        ({"persistedQuery": {"sha256Hash": hash_of(ME)}}, "extensions.persistedQuery.version"),
        (persisted(ME, sha256Hash=None), "extensions.persistedQuery.sha256Hash"),
        (persisted(ME, sha256Hash=1), "extensions.persistedQuery.sha256Hash"),
        (persisted(ME, sha256Hash=hash_of(ME + " ")), "extensions.persistedQuery.sha256Hash"),
        (persisted(ME, sha256Hash="é" * 100_000), "extensions.persistedQuery.sha256Hash"),
        ({"persistedQuery": hash_of(ME)}, "extensions.persistedQuery"),
        ({"persistedQuery": []}, "extensions.persistedQuery"),
    ],
)
async def test_what_is_not_the_protocol_is_refused_with_its_place(
    door: Door, extensions: dict[str, Any], path: str
) -> None:
    refused = await door.post({}, query=ME, extensions=extensions)
    assert (refused.status_code, code_of(refused)) == (400, "BAD_USER_INPUT")
    assert [fault["path"] for fault in refused.json()["errors"][0]["extensions"]["fields"]] == [path]
    assert len(refused.content) < 1_000


async def test_the_words_of_a_mismatch_are_those_of_the_protocol(door: Door) -> None:
    refused = await door.post({}, query=ME, extensions=persisted(ME + " "))
    assert "provided sha does not match query" in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize("extensions", [{}, {"persistedQuery": None}, {"other": 1}])
async def test_without_text_and_hash_there_is_no_request(door: Door, extensions: dict[str, Any]) -> None:
    refused = await door.post({}, extensions=extensions)
    assert code_of(refused) == "BAD_USER_INPUT"
    assert refused.json()["errors"][0]["extensions"]["fields"][0]["path"] == "query"


# --- The cost


@pytest.mark.parametrize("asked", ["yes", 1, {}])
async def test_the_cost_is_asked_for_by_true(door: Door, asked: object) -> None:
    refused = await door.post({}, query=ME, extensions={"cost": asked})
    assert code_of(refused) == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ scans { totalCount } }", {"requested": 11, "tokens": 6, "depth": 2}),
        ("{ me { portfolioCount username } }", {"requested": 12, "tokens": 7, "depth": 2}),
        ("{ a: scans(first: 50) { totalCount edges { node { tool } } } }",
         {"requested": 12 + 50 * 2, "tokens": 20, "depth": 4, "aliases": 1}),
    ],
)  # fmt: skip
async def test_the_cost_comes_with_the_answer(door: Door, make: People, text: str, cost: dict[str, int]) -> None:
    person = await make.person()
    expected = {"limit": 20_000, "rootFields": 1, "aliases": 0, "directives": 0, **cost}
    for verb in (door.post, door.get, door.post):
        answer = await verb(person.headers, query=text, extensions={"cost": True})
        assert answer.json()["extensions"] == {"cost": expected}
        assert answer.json()["data"]
    for silent in ({"cost": False}, {}):
        assert set((await door.post(person.headers, query=text, extensions=silent)).json()) == {"data"}


async def test_a_refusal_names_the_limit_and_what_was_asked(door: Door, make: People) -> None:
    text = "query($n: Int) { portfolios(first: $n) { edges { node { positions(first: 100) { totalCount edges { cursor }"
    text += " } } } } }"
    refused = await door.post((await make.person()).headers, query=text, variables={"n": 200})
    (error,) = refused.json()["errors"]
    requested = 2 + 200 * (1 + 1 + 11 + 100)
    assert error["extensions"] == {
        "code": "QUERY_TOO_COMPLEX", "measure": "cost", "limit": 20_000, "requested": requested
    }  # fmt: skip
    assert str(requested) in error["message"]
