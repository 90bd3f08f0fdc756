"""Engines for tests: one that plans at the first use, one that never plans."""

import functools
from typing import Any

import pytest

from engine import Answer, Engine, GraphQLRequest
from engine.documents import Document


class PlansAtOnce(Engine):
    """Plans each operation before it runs for the first time, so that one request shows what plans do."""

    async def execute(self, request: GraphQLRequest, context: object, **options: Any) -> Answer:
        document = self._documents.get(request.query)
        if isinstance(document, Document) and self._planner is not None:
            for operation in document.operations.values():
                self._planner.plan(document.planned, document.ast, operation, request.variables)
        return await super().execute(request, context, **options)


ENGINES = {"plans": PlansAtOnce, "graphql-core": functools.partial(Engine, compiled=False)}


@pytest.fixture(params=ENGINES)
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test of the module twice: `Engine` is one that plans, then one that does not."""
    monkeypatch.setattr(request.module, "Engine", ENGINES[request.param])
