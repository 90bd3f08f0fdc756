"""From request to answer: which operation, with which values, and nothing left running behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry
from graphql import OperationType
from strawberry.dataloader import DataLoader
from strawberry.extensions import SchemaExtension

from engine import Engine, Executed, GraphQLRequest, Reason, Refused
from tests.resolvers.graphql_app import Probe, Query, schema

pytestmark = pytest.mark.usefixtures("both_ways")


async def answer(query: str, name: str | None = None, variables: dict[str, Any] | None = None) -> Executed | Refused:
    return await Engine(schema).execute(GraphQLRequest(query, variables or {}, name), Probe())


async def test_an_operation_runs() -> None:
    assert await answer("{ hello person { friend { name } } }") == Executed(
        {"hello": "hello world", "person": {"friend": {"name": "Ada"}}}
    )


@pytest.mark.parametrize("name", ["A", "B"])
async def test_the_named_operation_runs(name: str) -> None:
    assert await answer("query A { A: hello } query B { B: hello }", name) == Executed({name: "hello world"})


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("query A { hello } query B { hello }", None),
        ("query A { hello } query B { hello }", "C"),
        ("{ hello }", "A"),
        ("query A { hello }", "a"),
    ],
)
async def test_an_operation_nobody_can_tell_is_refused(query: str, name: str | None) -> None:
    refused = await answer(query, name)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.OPERATION


async def test_only_operations_of_the_given_types_run() -> None:
    probe = Probe()
    request = GraphQLRequest("query A { hello } mutation B { touch }", operation_name="B")
    engine = Engine(schema)
    refused = await engine.execute(request, probe, operations=(OperationType.QUERY,))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.OPERATION_TYPE
    assert probe.effects == 0
    assert await engine.execute(request, probe) == Executed({"touch": 1})


async def test_subscriptions_do_not_run_as_queries() -> None:
    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def ticks(self) -> AsyncIterator[int]:
            yield 1

    subscribing = Engine(strawberry.Schema(query=Query, subscription=Subscription))
    refused = await subscribing.execute(GraphQLRequest("subscription { ticks }"), None)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.OPERATION_TYPE


async def test_all_faults_of_the_variables_come_at_once() -> None:
    refused = await answer(
        "query($input: NoteInput!, $name: String!) { note(input: $input) hello(name: $name) }",
        variables={"input": {"text": 1, "times": "often", "tags": ["a", 2]}},
    )
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INPUT
    assert {fault.path for fault in refused.faults} == {"input.text", "input.times", "input.tags[1]", "name"}


@pytest.mark.parametrize("introspection", [True, False])
async def test_suggestions_show_names_only_where_introspection_does(introspection: bool) -> None:
    asked = GraphQLRequest("query($input: NoteInput!) { note(input: $input) }", {"input": {"tex": "a", "text": "b"}})
    refused = await Engine(schema, introspection=introspection).execute(asked, None)
    assert isinstance(refused, Refused)
    assert ("Did you mean" in refused.faults[0].message) is introspection


@pytest.mark.parametrize(
    ("variables", "paths"),
    [
        ({"name": "a\0b"}, ["name"]),
        ({"name": "\ud800"}, ["name"]),
        ({"name": "fine", "unused": {"deep": [{"er": "\0"}]}}, ["unused.deep[0].er"]),
        ({"name": "fine", "bad\0key": 1}, ["variables"]),
        ({"name": "fine", "input": {"bad\0key": {"text": "\0"}}}, ["input", "input.bad?key.text"]),
        ({"a": "\0", "b": "\0"}, ["a", "b"]),
    ],
)
async def test_strings_that_cannot_be_stored_stop_the_request(variables: dict[str, Any], paths: list[str]) -> None:
    refused = await answer('query($name: String! = "") { hello(name: $name) }', variables=variables)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INPUT
    assert sorted(fault.path for fault in refused.faults) == paths


async def test_deep_variables_are_a_fault_and_not_a_crash() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    refused = await answer("query($value: JSON!) { echo(value: $value) }", variables={"value": deep})
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.INPUT


async def test_a_long_key_over_a_long_list_stays_cheap() -> None:
    """The path to a value is written only for a fault: half a megabyte of key times 100,000 lists would be 50 GB."""
    variables: dict[str, Any] = {"k" * 500_000: [[] for _ in range(100_000)] + ["\0"]}
    refused = await answer("{ hello }", variables=variables)
    assert isinstance(refused, Refused)
    assert len(refused.faults[0].path) <= 200


async def test_field_errors_keep_the_rest_of_the_data() -> None:
    result = await answer("{ hello crash missing }")
    assert isinstance(result, Executed)
    assert result.data == {"hello": "hello world", "crash": None, "missing": None}
    assert [error.path for error in result.errors] == [["crash"], ["missing"]]


async def test_cancelling_waits_for_every_resolver() -> None:
    """graphql-core would leave when the first one has stopped."""
    probe = Probe()
    query = "{ a: slow(cleanup: 0) b: slow(cleanup: 0.1) c: slow(cleanup: 0.2) person { friend { name } } }"
    running = asyncio.create_task(Engine(schema).execute(GraphQLRequest(query), probe))
    await probe.began.wait()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert probe.started == 3
    assert probe.cancelled == 3


async def test_a_failure_at_once_leaves_no_sibling_running() -> None:
    """graphql-core would answer while `slow` still runs."""
    probe = Probe()
    before = asyncio.all_tasks()
    result = await Engine(schema).execute(GraphQLRequest("{ slow crashRoot }"), probe)
    assert isinstance(result, Executed)
    assert result.data is None
    assert asyncio.all_tasks() == before
    assert probe.started == probe.cancelled == 1


async def test_what_is_cancelled_elsewhere_is_the_error_of_its_field() -> None:
    """The mother's failure stops her sibling's load, and with it everybody's load of that key."""

    async def load(keys: list[int]) -> list[int]:
        await asyncio.sleep(0.01)
        return keys

    loader = DataLoader(load_fn=load)

    @strawberry.type
    class Child:
        @strawberry.field
        async def age(self) -> int:
            return await loader.load(7)

        @strawberry.field
        async def mother(self) -> str:
            await asyncio.sleep(0)
            raise RuntimeError("no mother")

    @strawberry.type
    class Root:
        @strawberry.field
        def child(self) -> Child | None:
            return Child()

    text = "{ a: child { age mother } b: child { age } }"
    answer = await Engine(strawberry.Schema(query=Root)).execute(GraphQLRequest(text), None)
    assert isinstance(answer, Executed)
    assert answer.data == {"a": None, "b": None}
    assert {error.message: error.path for error in answer.errors} == {
        "no mother": ["a", "mother"],
        "What the field waited for was cancelled.": ["b", "age"],
    }


async def test_a_deep_asynchronous_document_runs() -> None:
    result = await answer("{ person { " + "friend { mentor { " * 18 + "name" + " } }" * 18 + " } }")
    assert isinstance(result, Executed)
    assert not result.errors


def test_a_schema_with_extensions_is_refused() -> None:
    with pytest.raises(TypeError, match="extensions"):
        Engine(strawberry.Schema(query=Query, extensions=[SchemaExtension]))
