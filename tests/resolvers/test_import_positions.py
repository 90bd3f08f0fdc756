"""Importing positions: all or nothing, the multiset of whole rows, faults at their places, and ten thousand rows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from app import create_app
from db.models import InvestmentClass, Portfolio, Position
from db.session import Database
from domain import portfolios
from domain.portfolios_csv import Lot
from schema import ids
from settings import Settings
from tests.gql import Answer, Gql
from tests.people import People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

CREATE = "mutation($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { id } } }"
IMPORT = """mutation($input: ImportPositionsInput!) {
  importPositions(input: $input) {
    added removed unchanged ignoredColumns dryRun portfolio { positionCount costBasis version }
  }
}"""
POSITIONS = """query($id: ID!) { node(id: $id) { ... on Portfolio { positions(first: 100) { edges { node {
  id symbol quantity entryPrice entryDate investmentClass strikePrice optionType expiration exitDate exitPrice notes
  costBasis
} } } } } }"""

HEADER = "Symbol,Quantity,Entry Price,Entry Date"
FILE = f'{HEADER}\nAAPL,10,187.25,2026-11-20\nAAPL,10,187.25,2026-11-20\nMSFT,-3,"1,400.5",1/2/26\n'
NO_SUCH = ids.encode("Portfolio", UUID(int=5))
Rows = Callable[..., Awaitable[Sequence[Any]]]


@pytest.fixture
async def owner(make: People) -> Person:
    return await make.person()


@pytest.fixture
async def portfolio(gql: Gql, owner: Person) -> str:
    answer = await gql(owner, CREATE, input={"name": "Main"})
    return str(answer.data["createPortfolio"]["portfolio"]["id"])


Import = Callable[..., Awaitable[Answer]]


@pytest.fixture
def imported(gql: Gql, owner: Person, portfolio: str) -> Import:
    """`await imported(csv, **input)` into the portfolio."""
    return lambda csv, **given: gql(owner, IMPORT, input={"portfolioId": portfolio, "csv": csv, **given})


async def positions(gql: Gql, owner: Person, portfolio: str) -> list[dict[str, Any]]:
    answer = await gql(owner, POSITIONS, id=portfolio)
    return [edge["node"] for edge in answer.data["node"]["positions"]["edges"]]


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gatehouse.test") as client,
    ):
        yield client


def counts(answer: Answer) -> tuple[int, int, int, int]:
    """Added, removed, unchanged, and how many there are now."""
    assert not answer.errors, answer.errors
    done = answer.data["importPositions"]
    return done["added"], done["removed"], done["unchanged"], done["portfolio"]["positionCount"]


@pytest.mark.parametrize("who", [*NOT_A_SESSION, "uninvited"])
async def test_who_may_not(who: str, gql: Gql, make: People, portfolio: str, database: Database) -> None:
    asker = await make.person(invited=False) if who == "uninvited" else await refused(make, who)
    before = await stored(database)
    answer = await gql(asker, IMPORT, input={"portfolioId": portfolio, "csv": FILE})
    assert (answer.code, answer.data) == ((NOT_A_SESSION | {"uninvited": "INVITE_REQUIRED"})[who], None)
    assert await stored(database) == before


@pytest.mark.parametrize("mode", ["MERGE", "REPLACE"])
async def test_anothers_portfolio_is_not_found(
    mode: str, gql: Gql, make: People, portfolio: str, database: Database
) -> None:
    person = await make.person()
    before = await stored(database)
    for other in (portfolio, NO_SUCH, ids.encode("User", person.user_id)):
        answer = await gql(person, IMPORT, input={"portfolioId": other, "csv": FILE, "mode": mode})
        assert (answer.code, answer.data) == ("NOT_FOUND", None)
    assert await stored(database) == before


async def test_positions_as_they_are_shown(imported: Import, gql: Gql, owner: Person, portfolio: str) -> None:
    answer = await imported(
        "\ufeffTicker;Qty;Avg Cost;Open Date;Type;Strike;Right;Expiry;Close Date;Close Price;Comment;Account\r\n"
        "tsla;-2;12,5;11/20/2026;Option;250;C;2027-01-15;2026-11-21;0,00;=SUM(A1);X1\r\n"
        "btc;0,00000001;1.234.567,89;2026-11-19;Crypto;;;;;;;\r\n"
    )
    assert answer.data["importPositions"] == {
        "added": 2,
        "removed": 0,
        "unchanged": 0,
        "ignoredColumns": ["Account"],
        "dryRun": False,
        "portfolio": {"positionCount": 2, "costBasis": "-2499.9876543211", "version": 1},
    }
    option, coin = await positions(gql, owner, portfolio)
    assert option == {
        "id": option["id"],
        "symbol": "TSLA",
        "quantity": "-2",
        "entryPrice": "12.5",
        "entryDate": "2026-11-20",
        "investmentClass": "OPTION",
        "strikePrice": "250",
        "optionType": "CALL",
        "expiration": "2027-01-15",
        "exitDate": "2026-11-21",
        "exitPrice": "0",
        "notes": "=SUM(A1)",
        "costBasis": "-2500",
    }
    assert (coin["quantity"], coin["entryPrice"], coin["costBasis"]) == ("0.00000001", "1234567.89", "0.0123456789")
    assert (coin["optionType"], coin["exitPrice"], coin["notes"]) == (None, None, None)


async def test_the_largest_numbers_stay_exact(imported: Import, gql: Gql, owner: Person, portfolio: str) -> None:
    most = "999999999999999999.99999999"
    answer = await imported(
        f"{HEADER},Strike,Option Type,Expiration\n"
        f"A,{most},{most},2026-11-20,{most},P,2027-01-01\nB,-{most},{most},2026-11-20,,,\n"
    )
    first, second = await positions(gql, owner, portfolio)
    square = "999999999999999999999999980000000000.0000000000000001"
    assert [one["costBasis"] for one in (first, second)] == [
        f"-{square}",
        "99999999999999999999999998000000000000.00000000000001",
    ]
    assert (
        answer.data["importPositions"]["portfolio"]["costBasis"]
        == "98999999999999999999999998020000000000.0000000000000099"
    )
    assert (second["quantity"], second["strikePrice"]) == (most, most)


async def test_merging_adds_what_is_not_there(imported: Import, gql: Gql, owner: Person, portfolio: str) -> None:
    assert counts(await imported(FILE)) == (3, 0, 0, 3)
    before = await positions(gql, owner, portfolio)
    assert counts(await imported(FILE)) == (0, 0, 3, 3)
    assert counts(await imported(FILE, mode="MERGE")) == (0, 0, 3, 3)
    assert await positions(gql, owner, portfolio) == before
    again = "Price;Shares;Ticker;Date\n187,2500;10;aapl;11/20/2026\n"
    assert counts(await imported(again)) == (0, 0, 1, 3)
    assert counts(await imported(f"{HEADER}\n" + "AAPL,10,187.25,2026-11-20\n" * 3)) == (1, 0, 2, 4)
    assert counts(await imported(f"{HEADER}\nAAPL,10,187.26,2026-11-20\n")) == (1, 0, 0, 5)


async def test_replacing_makes_the_file_the_truth(imported: Import, gql: Gql, owner: Person, portfolio: str) -> None:
    await imported(FILE)
    before = {one["id"]: one for one in await positions(gql, owner, portfolio)}
    answer = await imported(f"{HEADER}\nNVDA,1,2,2026-11-20\nAAPL,10,187.25,2026-11-20\n", mode="REPLACE")
    assert counts(answer) == (1, 2, 1, 2)
    assert answer.data["importPositions"]["portfolio"]["costBasis"] == "1874.5"
    now = await positions(gql, owner, portfolio)
    assert sorted(one["symbol"] for one in now) == ["AAPL", "NVDA"]
    [kept] = [one for one in now if one["id"] in before]
    assert kept == before[kept["id"]]
    assert counts(await imported(FILE, mode="REPLACE")) == (2, 1, 1, 3)


@pytest.mark.parametrize("mode", ["MERGE", "REPLACE"])
async def test_a_dry_run_says_what_would_change(mode: str, imported: Import, database: Database) -> None:
    await imported(FILE)
    before = await stored(database)
    answer = await imported(f"{HEADER}\nNVDA,1,2,2026-11-20\n", mode=mode, dryRun=True)
    assert counts(answer) == (1, 3 if mode == "REPLACE" else 0, 0, 3)
    assert answer.data["importPositions"]["dryRun"] is True
    assert await stored(database) == before


async def test_every_fault_is_told_and_nothing_is_stored(imported: Import, database: Database) -> None:
    await imported(FILE)
    before = await stored(database)
    answer = await imported(
        f"{HEADER},Notes\nAAPL,1,1,2026-11-20,fine\n,0,NaN,2026-02-30,\nMSFT,{'9' * 40},-1,20/11/2026,\x1b\n",
        mode="REPLACE",
    )
    assert (answer.code, answer.data) == ("BAD_USER_INPUT", None)
    number = "A number such as 1234.5, with at most 18 digits before the point and 8 after it."
    no_day = "There is no such day. A date such as 2026-11-20, or month first as in 11/20/2026."
    assert answer.errors[0]["extensions"]["fields"] == [
        {"path": "input.csv", "message": message, "row": row, "column": column, "value": value}
        for row, column, value, message in (
            (3, "Symbol", "", "Not empty."),
            (3, "Quantity", "0", "Not zero: below zero for a short."),
            (3, "Entry Price", "NaN", number),
            (3, "Entry Date", "2026-02-30", no_day),
            (4, "Quantity", "9" * 40, number),
            (4, "Entry Price", "-1", "Not below zero: a short is a quantity below zero."),
            (4, "Entry Date", "20/11/2026", no_day),
            (4, "Notes", "\ufffd", "No control characters."),
        )
    ]
    assert answer.errors[0]["message"].startswith("input.csv, row 3, Symbol: Not empty. input.csv, row 3, Quantity: ")
    assert await stored(database) == before


@pytest.mark.parametrize(
    "csv", ["", "\ufeff\n\n", "Symbol\nAAPL\n", "a,b\n1,2\n", "\x01\x02\x03" * 500, HEADER, f'{HEADER}\n"AAPL']
)
async def test_files_that_cannot_be_read_are_one_fault(csv: str, imported: Import) -> None:
    answer = await imported(csv, mode="REPLACE")
    [fault] = answer.errors[0]["extensions"]["fields"]
    assert (answer.code, fault["path"]) == ("BAD_USER_INPUT", "input.csv")


@pytest.mark.parametrize("given", [{"portfolioId": "x"}, {"csv": "A\0"}, {"csv": None}, {"mode": "UPSERT"}, {"csv": 5}])
async def test_bad_input(given: dict[str, Any], imported: Import) -> None:
    answer = await imported(**{"csv": FILE} | given)
    assert answer.code == "BAD_USER_INPUT"
    assert all(path.removeprefix("input.").startswith(next(iter(given))) for path in answer.fields)


async def test_the_plan_may_not_include_it(
    owner: Person, portfolio: str, settings: Settings, tmp_path: Path, database: Database
) -> None:
    shipped = (Path(portfolios.__file__).parents[1] / "plans.toml").read_text()
    plans = tmp_path / "plans.toml"
    plans.write_text(shipped.replace("positionImport = true", "positionImport = false", 1))
    before = await stored(database)
    async with served(create_app(settings.model_copy(update={"plans_file": plans}))) as client:
        answer = await Gql(client)(owner, IMPORT, input={"portfolioId": portfolio, "csv": FILE})
    assert (answer.code, answer.data) == ("TIER_LIMIT_REACHED", None)
    assert answer.errors[0]["extensions"]["feature"] == "positionImport"
    assert await stored(database) == before


async def test_a_retry_changes_nothing_and_says_the_same(imported: Import) -> None:
    first = await imported(FILE, idempotencyKey="k")
    assert counts(await imported(f"{HEADER}\nA,1,1,2026-01-01\n", mode="REPLACE")) == (1, 3, 0, 1)
    again = await imported(FILE, idempotencyKey="k")
    assert counts(first) == (3, 0, 0, 3)
    assert counts(again) == (3, 0, 0, 1)
    assert (await imported(f"{FILE}\n", idempotencyKey="k")).code == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize("mode", ["MERGE", "REPLACE"])
async def test_imports_at_once_are_as_one_after_the_other(mode: str, imported: Import) -> None:
    answers = await asyncio.gather(*(imported(FILE, mode=mode) for _ in range(8)))
    assert Counter(counts(answer) for answer in answers) == {(3, 0, 0, 3): 1, (0, 0, 3, 3): 7}


async def test_what_is_kept_of_the_positions_is_their_sum(
    imported: Import, rows: Rows, owner: Person, gql: Gql, portfolio: str
) -> None:
    for mode, lines in (("MERGE", 30), ("REPLACE", 7), ("MERGE", 12)):
        csv = HEADER + "".join(f"\nS{n},{n - 5.5},{n}.01,2026-11-20" for n in range(lines))
        await imported(csv, mode=mode)
        [kept] = await rows(Portfolio, Portfolio.user_id == owner.user_id)
        there = await rows(Position, Position.portfolio_id == kept.id)
        assert (kept.position_count, kept.cost_basis) == (
            len(there),
            sum((one.quantity * one.entry_price for one in there), Decimal(0)),
        )


async def test_a_portfolio_holds_so_many(imported: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portfolios, "MAX_POSITIONS", 4)
    await imported(FILE)
    two_more = f"{HEADER}\nA,1,1,2026-11-20\nB,1,1,2026-11-20\n"
    answer = await imported(two_more)
    assert (answer.code, answer.data) == ("CONFLICT", None)
    assert answer.errors[0]["message"] == "A portfolio holds at most 4 positions; this would make it 5."
    assert counts(await imported(two_more, mode="REPLACE")) == (2, 3, 0, 2)


async def test_ten_thousand_rows_take_a_handful_of_statements(imported: Import, statements: list[str]) -> None:
    lines = (
        f'SYM{n},{n + 1},"$1,{n % 900 + 100}.25",{n % 12 + 1}/{n % 28 + 1}/2025,Stock,"note {n}"' for n in range(10_000)
    )
    csv = "\n".join([f"{HEADER},Type,Notes", *lines])
    statements.clear()
    for mode, expected in (("MERGE", (10_000, 0, 0, 10_000)), ("REPLACE", (0, 0, 10_000, 10_000))):
        answer = await imported(csv, mode=mode)
        assert counts(answer) == expected
    assert len(statements) < 20


async def test_others_are_served_meanwhile(imported: Import) -> None:
    lines = (f"S{number},10,187.25,11/20/2026" for number in range(10_000))
    work = asyncio.ensure_future(imported("\n".join([HEADER, *lines]), dryRun=True))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert counts(await work)[0] == 10_000
    assert turns > 10


async def test_a_file_of_twenty_megabytes_is_read(imported: Import) -> None:
    lines = (f"S{number},10,187.25,11/20/2026,{'x' * 10_000}" for number in range(2_000))
    assert counts(await imported("\n".join([f"{HEADER},Unknown", *lines]), dryRun=True))[0] == 2_000


async def test_a_body_that_is_too_large_is_refused_unread(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"query": "'
        for _ in range(1_600):
            yield b"x" * 65_536

    headers = {"Content-Type": "application/json"}
    for response in (
        await client.post("/graphql", content=b"", headers=headers | {"Content-Length": str(100 * 1024 * 1024)}),
        await client.post("/graphql", content=endless(), headers=headers),
    ):
        assert response.status_code == 413
        assert response.json()["errors"][0]["message"].startswith("The body is larger than 1 MB, the most without a")


DAY = date(2026, 11, 20)
LOTS = st.builds(
    lambda symbol, quantity, price: Lot(symbol, Decimal(quantity), Decimal(price), DAY, InvestmentClass.STOCK),
    st.sampled_from(["A", "B"]),
    st.sampled_from(["1", "1.00", "-2"]),
    st.sampled_from(["7.1", "7.10000000"]),
)


@given(st.lists(LOTS, max_size=12), st.lists(LOTS, max_size=12))
def test_lots_are_matched_as_a_multiset(before: list[Lot], file: list[Lot]) -> None:
    there: list[Any] = [(UUID(int=number), *lot) for number, lot in enumerate(before)]
    added, unmatched = portfolios._difference(there, file)
    assert Counter(added) == Counter(file) - Counter(before)
    gone = Counter(before[one.int] for one in unmatched)
    assert gone == Counter(before) - Counter(file)
    assert len(set(unmatched)) == len(unmatched)
