"""For tests of both engines: the application on graphql-core, and somebody who has some of everything."""

import asyncio
import os
from collections.abc import AsyncIterator

import httpx
import pytest

from app import create_app
from settings import Settings
from tests.gql import Gql
from tests.people import People, Person
from tests.scanning import finding, told

COMPILED = os.environ.get("ENGINE", "compiled") == "compiled"
"""What takes few statements with plans takes more with graphql-core; the answers are the same."""

CSV = """Symbol,Quantity,Entry Price,Entry Date,Investment Class,Strike Price,Option Type,Expiration,Notes
ACME,10,12.50,2026-01-05,stock,,,,"ünï ""quoted"" \\ back"
TSLA,-2,0.00000001,2026-02-06,option,250,call,2027-01-15,
BTC,123456789012345678.12345678,99,1999-12-31,crypto,,,,
"""


@pytest.fixture(scope="session")
async def plain(settings: Settings) -> AsyncIterator[Gql]:
    """The same application, answered by graphql-core."""
    application = create_app(settings.model_copy(update={"engine": "graphql-core"}))
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://gatehouse.test") as opened:
            yield Gql(opened)


@pytest.fixture(scope="session")
async def owner(gql: Gql, make: People) -> Person:
    """Somebody with some of everything."""
    person = await make.person(tier="enterprise")
    for number, found in enumerate(
        (
            [finding("HIGH", startLine=3, score="9.80", ruleId="B602", path="ä/b.py"), finding("LOW", suppressed=True)],
            [],
            [finding(), finding("INFO", endColumn=7), finding("CRITICAL", message='"<&>\t\\ 😀\nnext')],
            [finding("MEDIUM")] * 4,
            [],
        )
    ):
        times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": f"2026-01-01T00:00:0{number}.000001+00:00"}
        more = {"metadata": {"z": [1, 2.5, -0.001, None, True], "ü": {"b": "\\"}}} if number else {}
        await told(gql, person, f"to-ol {number % 3}", findings=found, target=f"t{number}" if number else None,
                   **(times if number % 2 else {}), **more)  # fmt: skip
    create = "mutation($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { id } } }"
    for name in ("One", "Two", "Three"):
        made = await gql(person, create, input={"name": name, "description": "x" if name == "One" else None})
        imported = "mutation($input: ImportPositionsInput!) { importPositions(input: $input) { added } }"
        if name != "Two":
            given = {"portfolioId": made.data["createPortfolio"]["portfolio"]["id"], "csv": CSV}
            assert not (await gql(person, imported, input=given)).errors
    send = 'mutation { sendChatMessage(input: {content: "What have I?"}) { quota { used } } }'
    assert not (await gql(person, send)).errors
    # What is compared must not change meanwhile, and the reply is written behind the answer.
    unfinished = "{ conversations { edges { node { messages { edges { node { finishedAt } } } } } } }"
    for _ in range(500):
        if "'finishedAt': None" not in str((await gql(person, unfinished)).data):
            return person
        await asyncio.sleep(0.02)
    raise AssertionError("The reply is not written yet.")
