"""What the log says of documents that run uncompiled: why, a bounded number of times, and nothing of what was sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app import create_app
from engine import Engine
from resolvers.fallbacks import FallbackLog
from settings import Settings
from tests.resolvers.graphql_app import Probe, client_of, make_app, schema


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as events:
        yield events


async def test_of_many_new_documents_ten_are_told_in_a_minute(
    logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FallbackLog()
    async with client_of(make_app(Probe(), engine=Engine(schema, on_fallback=log))) as client:

        async def ask(name: str) -> None:
            text = f"{{ {name}: __schema {{ queryType {{ name }} }} }}"
            for _ in range(3):
                assert "data" in (await client.post("/graphql", json={"query": text})).json()

        for number in range(12):
            await ask(f"secret{number}")
        assert logged == [{"event": "engine.fallback", "reason": "introspection", "log_level": "info"}] * 10
        await ask("secret0")
        assert len(logged) == 10
        monkeypatch.setattr(log, "_since", log._since - 60)
        await ask("another")
        assert len(logged) == 11


@pytest.mark.parametrize(("engine", "told"), [("compiled", ["introspection"]), ("graphql-core", [])])
async def test_the_application_tells_of_them(
    settings: Settings, logged: list[Any], engine: str, told: list[str]
) -> None:
    application = create_app(settings.model_copy(update={"engine": engine, "introspection_enabled": True}))
    async with client_of(application) as client:
        answer = await client.post("/graphql", json={"query": "{ __schema { queryType { name } } }"})
    assert answer.json()["data"]
    assert [event["reason"] for event in logged if event["event"] == "engine.fallback"] == told
