"""What is counted of a document: depth, root fields, aliases, directives, cost; each named where it is too much."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    parse,
)
from graphql.language import SelectionNode
from hypothesis import HealthCheck, given, settings

from engine import Cost, Engine, Executed, GraphQLRequest, Limits, Reason, Refused
from tests.engine import torture
from tests.engine.documents_strategy import Case, cases

pytestmark = pytest.mark.usefixtures("both_ways")

CALLS: list[str] = []


@strawberry.interface
class Counted:
    total: int = strawberry.field(default=1, metadata={"weight": 10})


@strawberry.type
class Person(Counted):
    name: str = "Ada"

    @strawberry.field(metadata={"weight": 3})
    def friend(self) -> "Person":
        return Person()


@strawberry.type
class Query:
    @strawberry.field
    def me(self, number: int = 1) -> Person:
        CALLS.append("me")
        return Person()

    @strawberry.field
    def people(self, first: int = 2) -> list[Person]:
        return [Person()] * first

    @strawberry.field(metadata={"weight": 5})
    def counted(self) -> Counted:
        return Person()


schema = strawberry.Schema(query=Query)
VALUES = {"t": True, "f": False}


async def answer(
    text: str, limits: Limits | None = None, variables: dict[str, Any] | None = None
) -> Executed | Refused:
    return await Engine(schema, limits=limits).execute(GraphQLRequest(text, variables or {}, report_cost=True), None)


async def cost_of(text: str, variables: dict[str, Any]) -> Cost:
    found = await answer(text, None, variables)
    assert isinstance(found, Executed), found
    assert not found.errors
    assert found.cost is not None
    return found.cost


ALIASES = "{ me { " + " ".join(f"a{n}: name" for n in range(101)) + " } }"
DIRECTIVES = "{ me { " + " name @skip(if: false)" * 101 + " } }"


@pytest.mark.parametrize(
    ("text", "measure", "limit", "requested"),
    [
        (ALIASES, "aliases", 100, 101),
        (DIRECTIVES, "directives", 100, 101),
        ("{ " + " ".join(f"a{n}: me {{ name }}" for n in range(51)) + " }", "rootFields", 50, 51),
        ("{ people(first: 6700) { name friend { name } } }", "cost", 20_000, 1 + 6_700 * 5),
        ("query($n: Int!) { people(first: $n) { friend { name } } }", "cost", 20_000, 1 + 9_000 * 4),
        ("{ me { " + "friend { " * 39 + "name" + " }" * 41, "depth", 40, None),
        ("{ me { name } } # " + "x" * 50_000, "characters", 50_000, 50_018),
        ("{ me { name } }" + "\n" * 5_000, "lines", 5_000, 5_001),
        ("{ me { name } } " + "#\n" * 3_001, "comments", 3_000, None),
        ("{ " + "me(number: 1) { name } " * 400 + "}", "tokens", 3_000, None),
        ("{ me { " + " name" * 2_900 + " } }", "comparisons", 20_000, None),
    ],
)
async def test_what_passes_a_limit_does_not_run_and_is_told_which(
    text: str, measure: str, limit: int, requested: int | None
) -> None:
    CALLS.clear()
    refused = await answer(text, None, {"n": 9_000})
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.COMPLEXITY
    (error,) = refused.errors
    told = {"measure": measure, "limit": limit}
    assert error.extensions == (told if requested is None else told | {"requested": requested})
    assert str(limit) in error.message or measure == "comparisons"
    assert CALLS == []


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(aliases=2), "{ a: me { b: name } }"),
        (Limits(directives=1), "{ me @skip(if: false) { name } }"),
        (Limits(root_fields=1), "{ me { name } me { total } }"),
        (Limits(depth=2), "{ me { name } }"),
        (Limits(cost=2), "{ me { name } }"),
        (Limits(tokens=9), "{ me { name total } }"),
    ],
)
async def test_what_just_fits_a_limit_runs(limits: Limits, text: str) -> None:
    assert isinstance(await answer(text, limits), Executed)


@pytest.mark.parametrize(
    ("text", "directives"),
    [
        ("{ me @skip(if: false) { name } }", 1),
        ("{ me { name @skip(if: false) @include(if: true) } }", 2),
        ("{ me { ... @include(if: true) { name } } }", 1),
        ("{ me { ...F @include(if: $t) } } fragment F on Person { name @skip(if: $f) }", 2),
        ("{ me { ...F ...F } } fragment F on Person { name @skip(if: $f) }", 2),
        (
            "{ me { ...F } people { ...F } } fragment F on Person { ...G ...G @skip(if: $f) } "
            "fragment G on Person { name @skip(if: $f) }",
            6,
        ),
    ],
)
async def test_directives_count_wherever_their_fragment_is_spread(text: str, directives: int) -> None:
    used = {name: VALUES[name] for name in VALUES if f"${name}" in text}
    if used:
        text = f"query({' '.join(f'${name}: Boolean!' for name in used)}) {text}"
    assert (await cost_of(text, used)).directives == directives


async def test_directives_of_operations_fragments_and_variables_count() -> None:
    """None of these exists in the schema, so that validation has the word where they are few enough."""
    for text in (
        "query @a { me { name } }",
        "query($n: Int @a) { me(number: $n) { name } }",
        "{ me { ...F } } fragment F on Person @a { name }",
    ):
        refused = await answer(text, Limits(directives=0))
        assert isinstance(refused, Refused)
        assert refused.errors[0].extensions == {"measure": "directives", "limit": 0, "requested": 1}
        fits = await answer(text, Limits(directives=1))
        assert isinstance(fits, Refused)
        assert fits.reason is Reason.VALIDATION


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ me { name } }", 2),
        ("{ me { name total } }", 12),
        ("{ me { friend { name } } }", 1 + 3 + 1),
        ("{ counted { total } }", 5 + 10),
        ("{ counted { ... on Person { total friend { total } } } }", 5 + 10 + 3 + 10),
        ("{ people(first: 4) { total } }", 1 + 4 * 10),
        ("{ people(first: 4) { ...F ...F } } fragment F on Person { friend { total } }", 1 + 4 * 2 * 13),
        ("query($n: Int!) { people(first: $n) { total } }", 1 + 3 * 10),
    ],
)
async def test_a_field_costs_what_the_schema_declares(text: str, cost: int) -> None:
    assert (await cost_of(text, {"n": 3})).requested == cost


async def test_the_cost_is_told_where_it_is_asked_for_and_nowhere_else() -> None:
    engine = Engine(schema, limits=Limits(cost=500))
    text = "query A($n: Int!) { a: people(first: $n) @skip(if: false) { name } me { name } } query B { me { name } }"
    for number in (2, 3, 4):
        asked = GraphQLRequest(text, {"n": number}, "A", report_cost=True)
        found = await engine.execute(asked, None)
        assert isinstance(found, Executed)
        assert found.cost == Cost(
            requested=3 + number, limit=500, tokens=42, depth=2, root_fields=2, aliases=1, directives=1
        )
    silent = await engine.execute(GraphQLRequest(text, {"n": 2}, "A"), None)
    assert isinstance(silent, Executed)
    assert silent.cost is None
    assert silent.data
    assert len(silent.data["a"]) == 2


@pytest.mark.parametrize("body", ["...{0} ...{0}", "a: friend {{ ...{0} }} b: friend {{ ...{0} }}"])
@pytest.mark.parametrize("extra", ["", " @skip(if: false)", " @skip(if: false) @include(if: true)"])
async def test_chained_fragments_are_judged_at_once(body: str, extra: str) -> None:
    """2^18 fields, or what is selected of one: to walk them each time they are spread would take longer than this."""
    text = "{ me { ...F0 } } " + " ".join(
        f"fragment F{n} on Person {{ {body.format(f'F{n + 1}')} name{extra} }}" for n in range(18)
    )
    text += " fragment F18 on Person { x: name }"
    began = time.process_time()
    refused = await answer(text)
    assert time.process_time() - began < 2
    assert isinstance(refused, Refused)
    told = refused.errors[0].extensions
    assert told is not None
    assert (told["measure"], told["limit"]) == ("aliases", 100)
    assert told["requested"] >= 2**18


async def test_numbers_end_where_clients_can_read_them() -> None:
    fragments = " ".join(f"fragment F{n} on Person {{ {f'...F{n + 1} ' * 20} }}" for n in range(35))
    refused = await answer(f"{{ me {{ ...F0 }} }} {fragments} fragment F35 on Person {{ a: name }}")
    assert isinstance(refused, Refused)
    told = refused.errors[0].extensions
    assert told == {"measure": "aliases", "limit": 100, "requested": 2**31 - 1}
    assert len(refused.errors[0].message) < 200


def counted_by_hand(text: str, operation_name: str | None) -> tuple[int, int]:
    """Aliases and directives of the operation, every fragment walked each time it is spread."""
    document = parse(text)
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    aliases = directives = 0

    def walk(selections: Sequence[SelectionNode]) -> None:
        nonlocal aliases, directives
        for one in selections:
            directives += len(one.directives or ())
            if isinstance(one, FieldNode):
                aliases += one.alias is not None
                walk(one.selection_set.selections if one.selection_set else ())
            elif isinstance(one, InlineFragmentNode):
                walk(one.selection_set.selections)
            elif isinstance(one, FragmentSpreadNode):
                directives += len(fragments[one.name.value].directives or ())
                walk(fragments[one.name.value].selection_set.selections)

    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            name = definition.name.value if definition.name else None
            if operation_name in (None, name):
                directives += len(definition.directives or ())
                walk(definition.selection_set.selections)
                break
    return aliases, directives


# What is cancelled before it began leaves a coroutine behind, with graphql-core as well.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(case=cases(torture.schema._schema, scalars=torture.LITERALS))
async def test_counts_are_those_of_a_walk_through_everything(case: Case) -> None:
    limits = Limits(cost=10**9, aliases=10**9, directives=10**9, executed_fields=3_000)
    asked = GraphQLRequest(case.query, case.variables, case.operation_name, report_cost=True)
    before = asyncio.all_tasks()
    found = await Engine(torture.schema, limits=limits).execute(
        asked, torture.World(1, calm=True), root=torture.Query()
    )
    assert asyncio.all_tasks() == before
    if isinstance(found, Executed):
        assert found.cost is not None
        assert (found.cost.aliases, found.cost.directives) == counted_by_hand(case.query, case.operation_name)
