"""Plans and graphql-core side by side: whatever is asked, they answer the same, by the same calls in the same order."""

import asyncio
import copy
import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from engine import Answer, Engine, Executed, GraphQLRequest, Limits
from tests.engine.documents_strategy import Case, cases
from tests.engine.torture import LITERALS, Query, World, schema

CASES = int(os.environ.get("ENGINE_CASES", "1000"))
"""How many to try, in all parts together; a long run sets it to 20000 or more."""
PARTS = 4

ROOT = Query()
_LIMITS = Limits(cost=10**6, aliases=10**6, directives=10**6, executed_fields=3_000)


def described(answer: Answer) -> Any:
    """An answer as far as clients and logs see it; keys and errors in their order."""
    errors = [
        (error.message, error.path, error.locations, error.extensions, repr(error.original_error))
        for error in answer.errors
    ]
    if isinstance(answer, Executed):
        return json.dumps(answer.data, default=repr), errors
    return answer.reason, errors, answer.faults


async def answers(engine: Engine, case: Case, chance: int, *, calm: bool) -> Any:
    """What it answers, what it called, and that nothing is left running."""
    world = World(chance, calm=calm)
    request = GraphQLRequest(case.query, copy.deepcopy(case.variables), case.operation_name, {"an": "extension"})
    before = asyncio.all_tasks()
    answer = await engine.execute(request, world, root=ROOT)
    assert not [task for task in asyncio.all_tasks() - before if _is_ours(task)]
    return described(answer), world.log


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """Whether it runs the engine or the schema; the loop is shared with what other tests have running behind them."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and ("engine" in Path(code.co_filename).parts or "strawberry" in code.co_filename)


async def compare(case: Case, chance: int, *, calm: bool) -> None:
    compiled, plain = Engine(schema, limits=_LIMITS), Engine(schema, limits=_LIMITS, compiled=False)
    first = await answers(compiled, case, chance, calm=calm)
    second = await answers(compiled, case, chance, calm=calm)
    third = await answers(compiled, case, chance, calm=calm)
    expected = await answers(plain, case, chance, calm=calm)
    assert first == expected
    assert second == expected
    assert third == expected


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What the test leaves to the garbage collector is still its own affair."""
    yield
    gc.collect()


def _part(number: int) -> Any:
    """A share of the documents, with a seed of its own, so that a long run can use several cores."""

    # Whoever cancels a task that waits for tasks which have not begun leaves their coroutines behind, as graphql-core
    # does.
    @pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @seed(number)
    @settings(
        max_examples=CASES // PARTS,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(
        case=cases(schema._schema, operations=("query", "query", "query", "mutation"), scalars=LITERALS),
        chance=st.integers(0, 10**6),
        calm=st.booleans(),
    )
    async def test(case: Case, chance: int, calm: bool) -> None:
        await compare(case, chance, calm=calm)

    return test


test_the_same_answer_1 = _part(1)
test_the_same_answer_2 = _part(2)
test_the_same_answer_3 = _part(3)
test_the_same_answer_4 = _part(4)
