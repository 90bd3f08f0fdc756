"""What a request has made is gone with it: nothing points in a circle, which only Python's collector would find."""

import gc
import json
from typing import Any

import pytest
from starlette.applications import Starlette

from tests.people import People
from tests.resolvers.conftest import COMPILED

PUSH = "mutation($input: CreateScanInput!) { createScan(input: $input) { scan { id } } }"
ASKED = {
    "me": {"query": "{ me { id portfolioCount limits { maxPortfolios } usage { scansToday } trial { active } } }"},
    "a page": {"query": "{ scans(first: 3) { totalCount edges { cursor node { id tool } } } }"},
    "a page below": {"query": "{ portfolios { edges { node { name positions { edges { node { id } } } } } } }"},
    "a mutation": {"query": PUSH, "variables": {"input": {"tool": "bandit", "target": "shop"}}},
}


async def ask(app: Starlette, asked: dict[str, Any], headers: dict[str, str]) -> int:
    """Without a client, which makes circles of its own."""
    body, status = json.dumps(asked).encode(), 0
    fields = headers | {"content-type": "application/json", "content-length": str(len(body))}
    raw = [(name.lower().encode(), value.encode()) for name, value in fields.items()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": raw}
    await app(scope, receive, send)
    return status


@pytest.mark.skipif(not COMPILED, reason="graphql-core makes circles")
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_a_request_leaves_nothing_to_collect(asked: dict[str, Any], app: Starlette, make: People) -> None:
    person = await make.person(tier="enterprise")
    for _ in range(5):
        assert await ask(app, asked, person.headers) == 200
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await ask(app, asked, person.headers)
        left = gc.collect()
    finally:
        gc.enable()
    # Other work of this process may leave some, now and then; one circle in a request would be hundreds here.
    assert left < 100
