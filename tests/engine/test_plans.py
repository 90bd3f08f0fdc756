"""When an operation gets a plan, what that plan may cost, and what it must not change. Sameness has its own module."""

import asyncio
import gc
import tracemalloc
from typing import Any

import pytest
import strawberry
from graphql import FragmentDefinitionNode, OperationDefinitionNode, parse
from strawberry.dataloader import DataLoader
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from engine import Engine, Executed, GraphQLRequest, Limits
from engine.documents import Document
from engine.plans import Fallback
from engine.plans.plan import Plan
from engine.plans.planner import MAX_VARIANTS
from engine.plans.selections import MAX_FIELDS
from engine.plans.support import survey
from tests.engine.conftest import PlansAtOnce


class Batches:
    """The context: what was loaded together, and how far the slow field is."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.loader: DataLoader[int, int] = DataLoader(self._load)
        self.go = asyncio.Event()

    async def _load(self, keys: list[int]) -> list[int]:
        self.seen.append(keys)
        await asyncio.sleep(0)
        return keys


Info = strawberry.Info[Batches, None]


@strawberry.type
class Node:
    number: int

    @strawberry.field
    async def loaded(self, info: Info) -> int:
        return await info.context.loader.load(self.number)

    @strawberry.field
    async def next(self, info: Info) -> "Node":
        return Node(number=10 + await info.context.loader.load(self.number))

    @strawberry.field
    def nodes(self) -> "list[Node]":
        return [Node(number=self.number * 10 + n) for n in range(2)]


@strawberry.type
class Query:
    text: str = "text"

    @strawberry.field
    def nodes(self, first: int = 3) -> list[Node]:
        return [Node(number=number) for number in range(first)]

    @strawberry.field
    async def slow(self, info: Info) -> int:
        await info.context.go.wait()
        return len(info.context.seen)

    @strawberry.field
    async def node(self, info: Info, number: int) -> Node:
        return Node(number=number)


schema = strawberry.Schema(query=Query)
ROOT = Query()


def plans_of(engine: Engine, text: str) -> list[Any]:
    """What the variants of the operations of the document have come to."""
    document = engine._documents.get(text)
    assert isinstance(document, Document)
    return [found for known in document.planned.operations.values() for found in known.variants.values()]


def plan_twice(engine: Engine, document: object) -> None:
    assert isinstance(document, Document)
    assert engine._planner is not None
    (operation,) = document.operations.values()
    assert engine._planner.plan(document.planned, document.ast, operation, {}) is None
    assert engine._planner.plan(document.planned, document.ast, operation, {}) is not None


async def ask(engine: Engine, text: str, **variables: Any) -> Executed:
    answer = await engine.execute(GraphQLRequest(text, variables), Batches(), root=ROOT)
    assert isinstance(answer, Executed)
    return answer


async def test_the_second_use_is_planned() -> None:
    engine = Engine(schema)
    text = "{ nodes { number } }"
    first = await ask(engine, text)
    assert plans_of(engine, text) == [None]
    assert await ask(engine, text) == first
    (plan,) = plans_of(engine, text)
    assert isinstance(plan, Plan)
    assert await ask(engine, text) == first
    assert plans_of(engine, text) == [plan]
    assert not engine.fallbacks


async def test_plans_are_off_where_they_are_not_wanted() -> None:
    engine = Engine(schema, compiled=False)
    for _ in range(3):
        await ask(engine, "{ text }")
    assert plans_of(engine, "{ text }") == []
    assert not engine.fallbacks


async def test_each_combination_of_conditions_has_a_plan_up_to_a_number() -> None:
    names = [f"c{number}" for number in range(5)]
    text = (
        f"query({', '.join(f'${name}: Boolean!' for name in names)}) {{ "
        + " ".join(f"{name}: text @include(if: ${name})" for name in names)
        + " }"
    )
    engine = Engine(schema)
    for chosen in range(32):
        variables = {name: bool(chosen & 1 << bit) for bit, name in enumerate(names)}
        for _ in range(3):
            answer = await ask(engine, text, **variables)
            assert answer.data == {name: "text" for name in names if variables[name]}
    assert len(plans_of(engine, text)) == MAX_VARIANTS
    assert all(isinstance(plan, Plan) for plan in plans_of(engine, text))
    assert engine.fallbacks == {Fallback.VARIANTS: 3 * (32 - MAX_VARIANTS)}


async def test_a_condition_by_default_is_the_same_variant() -> None:
    engine = Engine(schema)
    text = "query($c: Boolean! = false) { text a: text @skip(if: $c) }"
    await ask(engine, text)
    await ask(engine, text, c=False)
    assert len(plans_of(engine, text)) == 1
    assert (await ask(engine, text, c=True)).data == {"text": "text"}


WIDE_LIMITS = Limits(aliases=MAX_FIELDS)
WIDE = "{ nodes { " + " ".join(f"n{number}: number" for number in range(MAX_FIELDS)) + " } }"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("{ __schema { queryType { name } } }", Fallback.INTROSPECTION, id="introspection"),
        pytest.param("query($c: Boolean = true) { a: text @skip(if: $c) }", Fallback.CONDITION, id="condition"),
        pytest.param(WIDE, Fallback.SIZE, id="size"),
    ],
)
async def test_what_no_plan_can_do_is_answered_and_counted(text: str, reason: Fallback) -> None:
    engine = Engine(schema, limits=WIDE_LIMITS)
    variables = {"c": None} if "$c" in text else {}
    expected = await ask(Engine(schema, limits=WIDE_LIMITS, compiled=False), text, **variables)
    for _ in range(3):
        answer = await ask(engine, text, **variables)
        assert answer.data == expected.data
        assert str(answer.errors) == str(expected.errors)
    assert list(engine.fallbacks) == [reason]
    assert engine.fallbacks[reason] >= 2


async def test_a_fallback_is_told_once_for_each_document_and_reason() -> None:
    told: list[str] = []
    engine = Engine(schema, on_fallback=told.append)
    for text in ("{ __typename }", "{ __schema { queryType { name } } }", "{ __schema { __typename } }") * 3:
        await ask(engine, text)
    assert told == [Fallback.INTROSPECTION] * 2
    assert engine.fallbacks == {Fallback.INTROSPECTION: 6}
    condition = "query($c: Boolean = true) { a: text @skip(if: $c) }"
    for c in (None, True, None):
        await ask(engine, condition, c=c)
    assert told[2:] == [Fallback.CONDITION]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("subscription { a }", Fallback.SUBSCRIPTION),
        ("query @live { a }", Fallback.OPERATION_DIRECTIVE),
        ("{ a @upper }", Fallback.DIRECTIVE),
        ("{ ...F @upper } fragment F on Query { a }", Fallback.DIRECTIVE),
        ("{ ... @upper { a } }", Fallback.DIRECTIVE),
        ("{ ... @defer { a } }", Fallback.DEFER),
        ("{ ...F @defer(if: false) } fragment F on Query { a }", Fallback.DEFER),
        ("{ a @stream { b } }", Fallback.DEFER),
        ("{ ...F(b: 1) } fragment F($b: Int) on Query { a }", Fallback.FRAGMENT_ARGUMENTS),
        ("{ a { b { __type(name: 1) { c } } } }", Fallback.INTROSPECTION),
        ("{ ...F } fragment F on Query { ...G } fragment G on Query { __schema { a } }", Fallback.INTROSPECTION),
        ("{ a @skip(if: true) ...F @include(if: $b) } fragment F on Query { __typename }", None),
        ("{ a } fragment F on Query { b @upper }", None),
    ],
)
def test_what_no_plan_can_do_is_told_from_the_document(text: str, reason: Fallback | None) -> None:
    document = parse(text, experimental_fragment_arguments=True)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    assert survey(operation, fragments).reason == reason


async def test_an_executor_of_the_schemas_own_is_not_passed_over() -> None:
    class Executor(StrawberryGraphQLCoreExecutionContext):
        def execute_field(self, *args: Any) -> Any:
            return "another text"

    engine = Engine(strawberry.Schema(query=Query, execution_context_class=Executor))
    for _ in range(3):
        assert (await ask(engine, "{ text }")).data == {"text": "another text"}
    assert engine.fallbacks == {Fallback.EXECUTOR: 3}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{ text }", id="short"),
        pytest.param("{ nodes { " + " ".join(f"n{n}: number" for n in range(450)) + " } }", id="leaves"),
        pytest.param(
            "{ " + " ".join(f"n{n}: nodes(first: {n}) {{ nodes {{ loaded }} }}" for n in range(45)) + " }", id="lists"
        ),
        pytest.param("{ nodes { " + "next { nodes { " * 15 + "number" + " } }" * 15 + " } }", id="depth"),
    ],
)
def test_a_plan_takes_no_more_memory_than_is_counted(text: str) -> None:
    engine = Engine(schema, limits=Limits(list_size=1, aliases=450))
    documents = [engine._documents.get(text + " " * number) for number in range(6)]
    plan_twice(engine, documents.pop())  # what the first plan of a type leaves behind is not the document's
    before = engine._documents._remembered.size
    gc.collect()
    tracemalloc.start()
    try:
        for document in documents:
            plan_twice(engine, document)
        gc.collect()
        taken, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= engine._documents._remembered.size - before


async def test_variants_share_what_is_known_of_the_variables() -> None:
    engine = Engine(schema)
    text = "query($a: Boolean!, $b: Boolean!) { text @include(if: $a) again: text @include(if: $b) }"
    for chosen in range(4):
        for _ in range(2):
            await ask(engine, text, a=bool(chosen & 1), b=bool(chosen & 2))
    plans = plans_of(engine, text)
    assert len({id(plan) for plan in plans}) == 4
    assert len({id(plan.variables) for plan in plans}) == 1


async def test_plans_are_forgotten_with_their_documents() -> None:
    engine = PlansAtOnce(schema, limits=Limits(remembered_bytes=400_000))
    for number in range(50):
        await ask(engine, f"{{ a{number}: text nodes {{ number }} }}")
        assert engine._documents._remembered.size <= 400_000
    assert 1 < len(engine._documents._remembered._kept) < 20


async def test_a_plan_too_large_to_keep_still_answers() -> None:
    engine = PlansAtOnce(schema, limits=Limits(remembered_bytes=30_000))
    assert (await ask(engine, "{ text }")).data == {"text": "text"}
    assert engine._documents._remembered.size == 0


def alike(document: str) -> str:
    """The fragment in many places: it is planned once."""
    return (
        document
        + "".join(f" fragment F{n} on Node {{ a: next {{ ...F{n + 1} }} b: next {{ ...F{n + 1} }} }}" for n in range(9))
        + " fragment F9 on Node { number }"
    )


async def test_fragments_that_multiply_are_planned_once() -> None:
    text = alike("{ nodes(first: 0) { ...F0 } }")
    engine = PlansAtOnce(schema, limits=Limits(aliases=10_000))
    assert (await ask(engine, text)).data == {"nodes": []}
    (plan,) = plans_of(engine, text)
    assert plan.size < 300_000
    assert not engine.fallbacks


@pytest.mark.parametrize("text", [
    "{ nodes(first: 5) { loaded } }",
    "{ nodes(first: 5) { number nodes { loaded next { loaded } } } a: nodes { loaded next { nodes { loaded } } } }",
    "{ a: nodes(first: 4) { next { next { loaded } loaded } } b: nodes(first: 7) { x: loaded y: loaded } }",
    "{ nodes { a: next { loaded } b: next { c: next { loaded } nodes { loaded } } } node(number: 2) { loaded } }",
])  # fmt: skip
async def test_loads_come_in_the_same_batches(text: str) -> None:
    seen = []
    for engine in (PlansAtOnce(schema), Engine(schema, compiled=False)):
        context = Batches()
        answer = await engine.execute(GraphQLRequest(text), context, root=ROOT)
        seen.append((answer, context.seen))
    assert seen[0] == seen[1]
    assert len(seen[0][1]) <= 4


async def test_a_slow_field_keeps_nobody_waiting() -> None:
    """What lies below its siblings is asked for meanwhile: here the slow field waits for it."""
    text = "{ slow nodes(first: 2) { next { next { loaded } } } node(number: 50) { next { next { loaded } } } }"
    context = Batches()
    running = asyncio.create_task(PlansAtOnce(schema).execute(GraphQLRequest(text), context, root=ROOT))
    for _ in range(50):
        await asyncio.sleep(0)
    batches = len(context.seen)
    assert batches == 3
    context.go.set()
    answer = await running
    assert isinstance(answer, Executed)
    assert answer.data
    assert answer.data["slow"] == batches


async def test_a_plan_of_what_is_there_at_once_starts_no_task() -> None:
    engine = PlansAtOnce(schema)
    running = engine.execute(GraphQLRequest("{ text nodes { number nodes { number } } }"), None, root=ROOT)
    with pytest.raises(StopIteration) as done:
        running.send(None)
    assert done.value.value.data["text"] == "text"
