"""Creating, changing, deleting and listing portfolios. Importing positions has a file of its own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from db.models import LedgerEntry, Portfolio, Position, User
from db.session import Database
from schema import ids
from tests.gql import Answer, Gql
from tests.people import People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

CREATE = """mutation($input: CreatePortfolioInput!) {
  createPortfolio(input: $input) {
    portfolio { id name description currency version positionCount costBasis createdAt updatedAt }
    quota { feature used limit remaining resetsAt }
  }
}"""
UPDATE = """mutation($input: UpdatePortfolioInput!) {
  updatePortfolio(input: $input) { portfolio { id name description currency version createdAt updatedAt } }
}"""
DELETE = """mutation($input: DeletePortfolioInput!) {
  deletePortfolio(input: $input) { deletedId quota { used limit remaining } }
}"""
IMPORT = "mutation($input: ImportPositionsInput!) { importPositions(input: $input) { added } }"
LIST = """query($first: Int, $after: String) {
  portfolios(first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor } edges { cursor node { id name } }
  }
}"""
NESTED = """{
  portfolios(first: 20) { edges { node {
    name positionCount costBasis positions(first: 25) { edges { node { symbol costBasis } } }
  } } }
}"""

A_CURRENCY = "A currency of ISO 4217, such as USD."
NO_SUCH = ids.encode("Portfolio", UUID(int=5))
Rows = Callable[..., Awaitable[Sequence[Any]]]


async def created(gql: Gql, person: Person, name: str = "Main", **given: Any) -> dict[str, Any]:
    answer = await gql(person, CREATE, input={"name": name, **given})
    assert not answer.errors, answer.errors
    found: dict[str, Any] = answer.data["createPortfolio"]["portfolio"]
    return found


async def with_positions(gql: Gql, person: Person, count: int, name: str = "Main") -> dict[str, Any]:
    portfolio = await created(gql, person, name)
    lines = [f"S{number},1,{number}.5,2026-01-02" for number in range(count)]
    csv = "\n".join(["Symbol,Quantity,Entry Price,Entry Date", *lines])
    answer = await gql(person, IMPORT, input={"portfolioId": portfolio["id"], "csv": csv})
    assert answer.data["importPositions"]["added"] == count
    return portfolio


async def names(gql: Gql, person: Person) -> list[str]:
    return [edge["node"]["name"] for edge in (await gql(person, LIST)).data["portfolios"]["edges"]]


async def set_tier(database: Database, person: Person, tier: str) -> None:
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == person.user_id).values(tier=tier))


@pytest.mark.parametrize("who", [*NOT_A_SESSION, "uninvited"])
@pytest.mark.parametrize(
    ("document", "given"),
    [(CREATE, {"name": "Main"}), (UPDATE, {"id": NO_SUCH, "name": "x"}), (DELETE, {"id": NO_SUCH})],
)
async def test_who_may_not(
    who: str, document: str, given: dict[str, Any], gql: Gql, make: People, database: Database
) -> None:
    asker = await make.person(invited=False) if who == "uninvited" else await refused(make, who)
    before = await stored(database)
    answer = await gql(asker, document, input=given)
    assert (answer.code, answer.data) == ((NOT_A_SESSION | {"uninvited": "INVITE_REQUIRED"})[who], None)
    assert await stored(database) == before


@pytest.mark.parametrize("who", ["nobody", "disabled", "deleted"])
async def test_who_may_not_read(who: str, gql: Gql, make: People) -> None:
    answer = await gql(await refused(make, who), LIST)
    assert (answer.code, answer.data) == (NOT_A_SESSION[who], None)


async def test_what_a_key_may_read(gql: Gql, make: People) -> None:
    person = await make.person()
    await created(gql, person)
    assert (await gql(await make.key(person, "scans:read"), LIST)).code == "FORBIDDEN"
    answer = await gql(await make.key(person, "account:read"), LIST)
    assert [edge["node"]["name"] for edge in answer.data["portfolios"]["edges"]] == ["Main"]


async def test_reading_needs_no_invite(gql: Gql, make: People) -> None:
    answer = await gql(await make.person(invited=False), "{ portfolios { totalCount edges { cursor } } }")
    assert answer.data == {"portfolios": {"totalCount": 0, "edges": []}}


async def test_a_new_portfolio(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    answer = await gql(person, CREATE, input={"name": " Main ", "description": "Long\n\tterm ", "currency": "eur"})
    made = answer.data["createPortfolio"]
    portfolio = made["portfolio"]
    assert portfolio == {
        "id": portfolio["id"],
        "name": "Main",
        "description": "Long\n\tterm",
        "currency": "EUR",
        "version": 1,
        "positionCount": 0,
        "costBasis": "0",
        "createdAt": portfolio["createdAt"],
        "updatedAt": portfolio["createdAt"],
    }
    assert made["quota"] == {"feature": "portfolios", "used": 1, "limit": 2, "remaining": 1, "resetsAt": None}
    [row] = await rows(Portfolio, Portfolio.user_id == person.user_id)
    [entry] = await rows(LedgerEntry, LedgerEntry.user_id == person.user_id)
    assert (entry.paid_for, entry.kind, entry.feature, entry.amount) == (row.id, "spend", "portfolios", 1)


async def test_the_currency_is_dollars_unless_said(gql: Gql, make: People) -> None:
    portfolio = await created(gql, await make.person())
    assert (portfolio["currency"], portfolio["description"]) == ("USD", None)


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"name": ""}, {"input.name": "Not empty."}),
        ({"name": " \u200b"}, {"input.name": "Not empty."}),
        ({"name": "x" * 101}, {"input.name": "At most 100 characters."}),
        ({"name": "a\nb"}, {"input.name": "No control characters."}),
        ({"description": "x" * 1001}, {"input.description": "At most 1000 characters."}),
        ({"description": "a\x1bb"}, {"input.description": "No control characters but line breaks and tabs."}),
        *(
            ({"currency": code}, {"input.currency": A_CURRENCY})
            for code in ("", "XYZ", "DEM", "US", "USDT", "$", "840")
        ),
        (
            {"name": " ", "description": "\x07", "currency": "EURO"},
            {
                "input.name": "Not empty.",
                "input.description": "No control characters but line breaks and tabs.",
                "input.currency": A_CURRENCY,
            },
        ),
    ],
)
@pytest.mark.parametrize("document", [CREATE, UPDATE])
async def test_bad_input(
    document: str, given: dict[str, Any], faults: dict[str, str], gql: Gql, make: People, database: Database
) -> None:
    person = await make.person()
    before = await stored(database)
    needed = {"id": NO_SUCH} if document == UPDATE else {"name": "Main"}
    answer = await gql(person, document, input=needed | given)
    assert (answer.code, answer.fields) == ("BAD_USER_INPUT", faults)
    assert await stored(database) == before


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({}, {"input": "Something to change: name, description or currency."}),
        ({"version": 1}, {"input": "Something to change: name, description or currency."}),
        ({"name": None, "currency": None}, {"input.name": "Not empty.", "input.currency": A_CURRENCY}),
        ({"id": "x", "name": ""}, {"input.id": "Not an id of this API.", "input.name": "Not empty."}),
    ],
)
async def test_bad_changes(given: dict[str, Any], faults: dict[str, str], gql: Gql, make: People) -> None:
    answer = await gql(await make.person(), UPDATE, input={"id": NO_SUCH} | given)
    assert (answer.code, answer.fields) == ("BAD_USER_INPUT", faults)


async def test_the_limit(gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    first, second = [await created(gql, person, name) for name in ("A", "B")]
    before = await stored(database)
    answer = await gql(person, CREATE, input={"name": "C"})
    assert (answer.code, answer.data) == ("TIER_LIMIT_REACHED", None)
    said = answer.errors[0]["extensions"]
    assert (said["feature"], said["tier"], said["limit"], said["used"], said["remaining"]) == (
        *("portfolios", "free", 2, 2, 0),
    )
    assert [remedy["kind"] for remedy in said["remedies"]] == ["UPGRADE", "DELETE"]
    assert await stored(database) == before

    gone = await gql(person, DELETE, input={"id": first["id"]})
    assert gone.data["deletePortfolio"] == {
        "deletedId": first["id"],
        "quota": {"used": 1, "limit": 2, "remaining": 1},
    }
    third = await created(gql, person, "C")
    await set_tier(database, person, "paid")
    await created(gql, person, "D")
    assert await names(gql, person) == ["B", "C", "D"]
    assert ids.key_of("Portfolio", second["id"]) < ids.key_of("Portfolio", third["id"])


async def test_a_downgraded_account_gets_back_below_its_limit(gql: Gql, make: People, database: Database) -> None:
    person = await make.person(tier="paid")
    made = [await created(gql, person, str(number)) for number in range(4)]
    await set_tier(database, person, "free")
    assert (await gql(person, CREATE, input={"name": "more"})).code == "TIER_LIMIT_REACHED"
    for portfolio, used in zip(made[:3], (3, 2, 1), strict=True):
        answer = await gql(person, DELETE, input={"id": portfolio["id"]})
        assert answer.data["deletePortfolio"]["quota"]["used"] == used
    assert not (await gql(person, CREATE, input={"name": "more"})).errors


async def test_fifty_at_once_at_the_limit(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    answers = await asyncio.gather(*(gql(person, CREATE, input={"name": "x"}) for _ in range(50)))
    assert Counter(answer.code for answer in answers) == {None: 2, "TIER_LIMIT_REACHED": 48}
    assert len(await rows(Portfolio, Portfolio.user_id == person.user_id)) == 2


async def test_a_retry_is_told_the_first_outcome(gql: Gql, make: People) -> None:
    person = await make.person()
    first = await gql(person, CREATE, input={"name": "A", "idempotencyKey": "made"})
    made = first.data["createPortfolio"]
    await created(gql, person, "B")
    again = await gql(person, CREATE, input={"name": "A", "idempotencyKey": "made"})
    assert again.data["createPortfolio"] == made
    assert made["quota"]["used"] == 1

    deleting = {"id": made["portfolio"]["id"], "idempotencyKey": "gone"}
    gone = (await gql(person, DELETE, input=deleting)).data["deletePortfolio"]
    await created(gql, person, "C")
    assert (await gql(person, DELETE, input=deleting)).data["deletePortfolio"] == gone
    assert gone["quota"] == {"used": 1, "limit": 2, "remaining": 1}
    late = await gql(person, CREATE, input={"name": "A", "idempotencyKey": "made"})
    assert (late.errors, late.data["createPortfolio"]) == ([], made | {"portfolio": None})


async def test_the_last_one_can_be_retried(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    await created(gql, person)
    first, again = [await gql(person, CREATE, input={"name": "B", "idempotencyKey": "k"}) for _ in range(2)]
    assert not first.errors
    assert first.body == again.body
    assert len(await rows(Portfolio, Portfolio.user_id == person.user_id)) == 2


async def test_changing(gql: Gql, make: People) -> None:
    person = await make.person()
    portfolio = await created(gql, person, description="old")

    async def change(**given: Any) -> Answer:
        return await gql(person, UPDATE, input={"id": portfolio["id"], **given})

    changed = (await change(name="New", version=1)).data["updatePortfolio"]["portfolio"]
    assert (changed["name"], changed["description"], changed["version"]) == ("New", "old", 2)
    assert changed["updatedAt"] > changed["createdAt"] == portfolio["createdAt"]
    stale = await change(name="Newer", version=1)
    assert (stale.code, stale.data) == ("CONFLICT", None)
    assert "version 2, not 1" in stale.errors[0]["message"]
    changed = (await change(description=None, currency="chf")).data["updatePortfolio"]["portfolio"]
    assert (changed["name"], changed["description"], changed["currency"]) == ("New", None, "CHF")
    assert changed["version"] == 3


async def test_of_two_changes_at_once_one_wins(gql: Gql, make: People) -> None:
    person = await make.person()
    given = {"id": (await created(gql, person))["id"], "version": 1}
    answers = await asyncio.gather(*(gql(person, UPDATE, input=given | {"name": str(n)}) for n in range(10)))
    assert Counter(answer.code for answer in answers) == {None: 1, "CONFLICT": 9}


@pytest.mark.parametrize("document", [UPDATE, DELETE])
async def test_anothers_is_not_found(document: str, gql: Gql, make: People, database: Database) -> None:
    portfolio = await with_positions(gql, await make.person(), 1)
    person = await make.person()
    before = await stored(database)
    for other in (portfolio["id"], NO_SUCH, ids.encode("User", person.user_id), ids.encode("Position", uuid4())):
        given = {"id": other} | ({"name": "mine"} if document == UPDATE else {})
        answer = await gql(person, document, input=given)
        assert (answer.code, answer.data) == ("NOT_FOUND", None)
    assert await stored(database) == before


async def test_deleting_takes_the_positions_along_and_gives_back_once(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    portfolio, kept = await with_positions(gql, person, 3), await with_positions(gql, person, 2, "Kept")
    assert not (await gql(person, DELETE, input={"id": portfolio["id"]})).errors
    assert (await gql(person, DELETE, input={"id": portfolio["id"]})).code == "NOT_FOUND"
    [row] = await rows(Portfolio, Portfolio.user_id == person.user_id)
    assert ids.encode("Portfolio", row.id) == kept["id"]
    assert len(await rows(Position, Position.portfolio_id == row.id)) == 2
    gone = ids.decode(portfolio["id"])
    assert gone is not None
    assert await rows(Position, Position.portfolio_id == gone[1]) == []
    entries = await rows(LedgerEntry, LedgerEntry.user_id == person.user_id)
    assert sorted(entry.kind for entry in entries) == ["return", "spend", "spend"]
    assert sum(entry.amount for entry in entries) == 1


async def test_a_portfolio_and_a_position_are_nodes_of_their_owner(gql: Gql, make: People) -> None:
    owner, stranger = await make.person(), await make.person()
    portfolio = await with_positions(gql, owner, 1)
    listed = await gql(owner, "{ portfolios { edges { node { positions { edges { node { id } } } } } } }")
    position = listed.data["portfolios"]["edges"][0]["node"]["positions"]["edges"][0]["node"]["id"]
    document = """query($ids: [ID!]!) {
      nodes(ids: $ids) { __typename id ... on Portfolio { name } ... on Position { symbol } }
    }"""
    answer = await gql(owner, document, ids=[position, portfolio["id"]])
    assert answer.data["nodes"] == [
        {"__typename": "Position", "id": position, "symbol": "S0"},
        {"__typename": "Portfolio", "id": portfolio["id"], "name": "Main"},
    ]
    answer = await gql(stranger, document, ids=[position, portfolio["id"]])
    assert (answer.code, answer.data) == ("NOT_FOUND", {"nodes": [None, None]})


async def test_pages(gql: Gql, make: People) -> None:
    person = await make.person(tier="paid")
    for name in "ABCDE":
        await created(gql, person, name)
    first = (await gql(person, LIST, first=2)).data["portfolios"]
    assert [edge["node"]["name"] for edge in first["edges"]] == ["A", "B"]
    assert first["totalCount"] == 5
    assert first["pageInfo"]["hasNextPage"] is True
    rest = (await gql(person, LIST, first=10, after=first["pageInfo"]["endCursor"])).data["portfolios"]
    assert [edge["node"]["name"] for edge in rest["edges"]] == ["C", "D", "E"]


async def test_of_the_account(gql: Gql, make: People) -> None:
    person = await make.person()
    document = "{ me { portfolioCount defaultPortfolio { name } portfolios(last: 1) { edges { node { name } } } } }"
    assert (await gql(person, document)).data["me"] == {
        "portfolioCount": 0,
        "defaultPortfolio": None,
        "portfolios": {"edges": []},
    }
    await created(gql, person, "First")
    await created(gql, person, "Second")
    assert (await gql(person, document)).data["me"] == {
        "portfolioCount": 2,
        "defaultPortfolio": {"name": "First"},
        "portfolios": {"edges": [{"node": {"name": "Second"}}]},
    }


@pytest.mark.parametrize(("portfolios", "positions"), [(1, 1), (4, 30)])
async def test_portfolios_with_their_positions_take_three_statements(
    portfolios: int, positions: int, gql: Gql, make: People, statements: list[str]
) -> None:
    person = await make.person(tier="paid")
    for number in range(portfolios):
        await with_positions(gql, person, positions, str(number))
    statements.clear()
    answer = await gql(person, NESTED)
    assert len(statements) <= 3, statements
    found = [edge["node"] for edge in answer.data["portfolios"]["edges"]]
    assert [len(each["positions"]["edges"]) for each in found] == [min(positions, 25)] * portfolios
    assert [each["positionCount"] for each in found] == [positions] * portfolios
