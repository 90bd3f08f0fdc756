"""`node` and `nodes`: objects of the caller by their global ids, and nothing of anybody else."""

from typing import Any
from uuid import UUID

import pytest

from db.session import Database
from schema import ids
from tests.gql import Gql
from tests.people import People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

NODE = """query($id: ID!) {
  node(id: $id) { __typename id ... on User { username } ... on ApiKey { name secret } }
}"""
NODES = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"

A_KEY = ids.encode("ApiKey", UUID(int=2**127 - 1))
BAD_IDS = ["", "x", "%%%", "ä", A_KEY[:-1], f"{A_KEY}=", f"{A_KEY}A", A_KEY.upper(), str(UUID(int=5)), "A" * 100_000]


async def own_ids(gql: Gql, person: Person) -> tuple[str, str]:
    """Global ids of the account and of its first key."""
    me = (await gql(person, "{ me { id apiKeys { id } } }")).data["me"]
    return me["id"], me["apiKeys"][0]["id"]


@pytest.mark.parametrize("who", [who for who in NOT_A_SESSION if who != "key"])
async def test_refused(who: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    user, key = await own_ids(gql, await make.person())
    before = await stored(database)
    one = await gql(asker, NODE, id=key)
    assert (one.code, one.data) == (NOT_A_SESSION[who], {"node": None})
    many = await gql(asker, NODES, ids=[user, key])
    assert (many.code, many.data) == (NOT_A_SESSION[who], None)
    assert await stored(database) == before


async def test_a_key_without_the_scope(gql: Gql, make: People) -> None:
    person = await make.person()
    user, key = await own_ids(gql, person)
    bearer = await make.key(person, "scans:read", "scans:write")
    assert (await gql(bearer, NODE, id=user)).code == "FORBIDDEN"
    assert (await gql(bearer, NODES, ids=[key])).code == "FORBIDDEN"


async def test_another_persons_objects_are_not_found(gql: Gql, make: People) -> None:
    person = await make.person()
    for one in await own_ids(gql, await make.person()):
        answer = await gql(person, NODE, id=one)
        assert (answer.status, answer.code, answer.data) == (200, "NOT_FOUND", {"node": None})


@pytest.mark.parametrize("type_name", ["User", "ApiKey", "Identity", "Query", "user", "Trial"])
async def test_ids_that_lead_nowhere(type_name: str, gql: Gql, make: People) -> None:
    person = await make.person()
    answer = await gql(person, NODE, id=ids.encode(type_name, UUID(int=7)))
    assert (answer.code, answer.data) == ("NOT_FOUND", {"node": None})


async def test_the_id_of_one_type_does_not_find_another(gql: Gql, make: People) -> None:
    person = await make.person()
    assert (await gql(person, NODE, id=ids.encode("ApiKey", person.user_id))).code == "NOT_FOUND"


@pytest.mark.parametrize("id", BAD_IDS)
async def test_ids_of_no_known_form(id: str, gql: Gql, make: People) -> None:
    person = await make.person()
    answer = await gql(person, NODE, id=id)
    assert (answer.code, answer.data) == ("BAD_USER_INPUT", {"node": None})
    assert answer.fields == {"id": "Not an id of this API."}


@pytest.mark.parametrize("id", [5, 2**80, True, None, ["x"]])
async def test_ids_of_another_type(id: Any, gql: Gql, make: People) -> None:
    answer = await gql(await make.person(), NODE, id=id)
    assert answer.code == "BAD_USER_INPUT"


async def test_own_objects(gql: Gql, make: People) -> None:
    person = await make.person()
    user, key = await own_ids(gql, person)
    found_user = (await gql(person, NODE, id=user)).data["node"]
    assert (found_user["__typename"], found_user["id"]) == ("User", user)
    found_key = (await gql(person, NODE, id=key)).data["node"]
    assert (found_key["__typename"], found_key["id"], found_key["name"]) == ("ApiKey", key, "Default")
    assert found_key["secret"].startswith("iq_")


async def test_own_objects_by_key_without_their_secrets(gql: Gql, make: People) -> None:
    person = await make.person()
    _, key = await own_ids(gql, person)
    answer = await gql(await make.key(person, "account:read"), NODE, id=key)
    assert (answer.code, answer.data["node"]["name"], answer.data["node"]["secret"]) == ("FORBIDDEN", "Default", None)


async def test_nodes_keep_their_order_and_their_errors_their_place(gql: Gql, make: People) -> None:
    person = await make.person()
    user, key = await own_ids(gql, person)
    others_user, others_key = await own_ids(gql, await make.person())
    answer = await gql(person, NODES, ids=[key, "x", user, others_key, key, others_user])
    assert [node and node["id"] for node in answer.data["nodes"]] == [key, None, user, None, key, None]
    found = {tuple(error["path"]): error["extensions"]["code"] for error in answer.errors}
    assert found == {
        ("nodes", 1): "BAD_USER_INPUT",
        ("nodes", 3): "NOT_FOUND",
        ("nodes", 5): "NOT_FOUND",
    }


@pytest.mark.parametrize(("count", "code"), [(0, None), (100, None), (101, "BAD_USER_INPUT")])
async def test_nodes_are_a_hundred_at_most(count: int, code: str | None, gql: Gql, make: People) -> None:
    person = await make.person()
    _, key = await own_ids(gql, person)
    answer = await gql(person, NODES, ids=[key] * count)
    assert answer.code == code
    assert code or answer.data == {"nodes": [{"__typename": "ApiKey", "id": key}] * count}


async def test_nodes_cost_the_same_for_1_and_100(gql: Gql, make: People, statements: list[str]) -> None:
    person = await make.person()
    user, key = await own_ids(gql, person)
    costs = []
    for asked in ([user, key], [user, key, *(ids.encode("ApiKey", UUID(int=n)) for n in range(98))]):
        statements.clear()
        await gql(person, NODES, ids=asked)
        costs.append(len(statements))
    assert costs[0] == costs[1]
