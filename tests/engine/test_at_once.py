"""Guarded fields that are answered without waiting: the same answers, and the resolver where that is not so."""

import asyncio
from typing import Any

import pytest
import strawberry
from strawberry.permission import BasePermission

import engine
from engine import AT_ONCE, LATER, AtOnce, Engine, Executed, GraphQLRequest
from engine.plans.guarding import QuickPermission
from tests.engine.conftest import PlansAtOnce

Info = strawberry.Info[dict[str, Any], None]


class Slow(BasePermission):
    """Lets in who is `in`; notes that it was asked."""

    async def has_permission(self, source: Any, info: Info, **kwargs: Any) -> bool:
        info.context["log"].append("asked")
        return self._judge(info)

    def _judge(self, info: Info) -> bool:
        if not info.context["in"]:
            raise ValueError("Not in.")
        return True


class Quick(Slow):
    """May tell at once, once it `knows`."""

    def has_permission_at_once(self, source: Any, info: Info) -> bool | None:
        info.context["log"].append("asked at once")
        return self._judge(info) if info.context["knows"] else info.context.get("says")


def _read(number: int = 1) -> int:
    if number == 13:
        raise ValueError("unlucky")
    return number


def _answer(info: Info, number: int) -> Any:
    info.context["log"].append("at once")
    return info.context.get("answer", f"number {number}")


def field(*permissions: type[BasePermission]) -> Any:
    async def resolve(self: Any, info: Info, number: int = 1) -> str:
        info.context["log"].append("resolved")
        await asyncio.sleep(0)
        return f"number {_read(number)}"

    return strawberry.field(resolve, permission_classes=[*permissions], metadata={AT_ONCE: AtOnce(_read, _answer)})


async def _fail() -> str | None:
    await asyncio.sleep(0)
    raise ValueError("failed")


@strawberry.type
class Query:
    failing: str | None = strawberry.field(resolver=_fail)
    quick: str = field(Quick)
    mixed: str = field(Quick, Slow)
    twice: str = field(Quick, Quick)
    open: str = strawberry.field(resolver=lambda: "open")


@strawberry.type
class Mutation:
    change: str = strawberry.mutation(resolver=lambda: "changed", permission_classes=[Quick])

    @strawberry.mutation(permission_classes=[Quick, Slow, Quick])
    async def move(self, info: Info) -> str:
        info.context["log"].append("moved")
        return "moved"


SCHEMA = strawberry.Schema(Query, Mutation)


async def asked(document: str, subject: Engine | None = None, **context: Any) -> tuple[Any, Any, list[str]]:
    log: list[str] = []
    given = {"log": log, "in": True, "knows": True} | context
    answer = await (subject or PlansAtOnce(SCHEMA)).execute(GraphQLRequest(document), given)
    assert isinstance(answer, Executed)
    return answer.data, [(error.message, error.path) for error in answer.errors], log


async def test_who_may_not_gets_no_answer() -> None:
    for knows in (True, False):
        data, errors, log = await asked("{ quick }", None, **{"in": False, "knows": knows})
        assert (data, errors) == (None, [("Not in.", ["quick"])])
        assert not {"at once", "resolved"} & set(log)


async def test_a_mutation_is_guarded_at_once_where_its_guards_know() -> None:
    """One runs after the other: how long a guard takes decides nothing there."""
    for knows in (True, False):
        data, errors, log = await asked("mutation { move }", None, **{"in": False, "knows": knows})
        assert (data, errors) == (None, [("Not in.", ["move"])])
        assert "moved" not in log
    data, _, log = await asked("mutation { move change }")
    assert data == {"move": "moved", "change": "changed"}
    assert log[:4] == ["asked at once", "asked", "asked at once", "moved"]
    _, _, log = await asked("mutation { move }", knows=False)
    assert log == ["asked at once", "asked", "asked", "asked at once", "asked", "moved"]


@pytest.mark.parametrize(
    "document",
    [
        "{ failing quick(number: 13) }",
        "{ quick(number: 13) failing }",
        "{ a: quick(number: 13) failing b: mixed(number: 13) }",
    ],
)
@pytest.mark.parametrize("given", [{}, {"in": False}])
async def test_an_error_told_at_once_keeps_no_other_from_being_told(document: str, given: dict[str, Any]) -> None:
    """Raised on the spot it would end the object around, before the fields beside it have begun."""
    here = await asked(document, None, **given)
    assert here[:2] == (await asked(document, Engine(SCHEMA, compiled=False), **given))[:2]
    assert len(here[1]) >= 2


async def test_what_is_known_is_answered_without_the_resolver() -> None:
    assert await asked("{ quick }") == ({"quick": "number 1"}, [], ["asked at once", "at once"])
    data, errors, log = await asked("{ __typename b: twice(number: 4) }")
    assert (data, errors) == ({"__typename": "Query", "b": "number 4"}, [])
    assert log == ["asked at once", "asked at once", "at once"]


async def test_beside_other_fields_the_resolver_is_asked() -> None:
    """Which errors are told hangs on how long each field takes: it shall be as by graphql-core."""
    data, errors, log = await asked("{ a: quick(number: 3) b: twice(number: 4) }")
    assert (data, errors) == ({"a": "number 3", "b": "number 4"}, [])
    assert "at once" not in log


@pytest.mark.parametrize("says", [None, False, 1, "yes"])
async def test_only_true_lets_in_at_once(says: Any) -> None:
    assert await asked("{ quick }", knows=False, says=says) == (
        {"quick": "number 1"},
        [],
        ["asked at once", "asked", "resolved"],
    )


async def test_what_has_to_wait_is_resolved() -> None:
    data, errors, log = await asked("{ quick(number: 2) }", answer=LATER)
    assert (data, errors) == ({"quick": "number 2"}, [])
    assert log == ["asked at once", "at once", "asked", "resolved"]


async def test_one_slow_permission_is_enough_to_wait() -> None:
    assert await asked("{ mixed }") == ({"mixed": "number 1"}, [], ["asked", "asked", "resolved"])


@pytest.mark.parametrize("document", ["{ quick(number: 13) }", "{ a: quick b: twice(number: 13) }", "{ mixed }"])
async def test_the_same_as_by_graphql_core(document: str) -> None:
    for given in ({}, {"in": False}, {"knows": False}, {"answer": LATER}):
        here = await asked(document, None, **given)
        assert here[:2] == (await asked(document, Engine(SCHEMA, compiled=False), **given))[:2]


async def test_what_guards_will_ask_for_is_had_before_anything_runs() -> None:
    told: list[Any] = []

    def foresee(context: Any, needs: frozenset[str], ahead: Any, *, guarded: bool) -> Any:
        told.append(guarded)

        async def find_out() -> None:
            await asyncio.sleep(0)
            context["knows"] = True

        return find_out() if guarded else None

    subject = PlansAtOnce(SCHEMA, foresee=foresee)
    assert await asked("{ quick }", subject, knows=False) == (
        {"quick": "number 1"},
        [],
        ["asked at once", "at once"],
    )
    await asked("{ open }", subject)
    await asked("mutation { change }", subject)
    assert told == [True]


def test_what_is_public_is_named() -> None:
    assert issubclass(Quick, QuickPermission)
    assert {"AT_ONCE", "LATER", "AtOnce"} <= set(engine.__all__)
