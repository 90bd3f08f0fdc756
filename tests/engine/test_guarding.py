"""Guarded fields: whatever a permission says, and whatever the arguments are, plans do as graphql-core does."""

import enum
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import strawberry
from strawberry.permission import BasePermission, PermissionExtension

from engine import Engine, Executed, GraphQLRequest
from tests.engine.conftest import PlansAtOnce

Info = strawberry.Info[list[Any], None]


class Said(BasePermission):
    """Says what it was made with, and notes what it was told."""

    def __init__(self, verdict: Any, message: str = "No.") -> None:
        super().__init__()
        self.verdict, self.message = verdict, message

    def has_permission(self, source: Any, info: Info, **kwargs: Any) -> Any:
        info.context.append((type(info).__name__, info.field_name, repr(kwargs)))
        return self.verdict() if callable(self.verdict) else self.verdict


class SaidLater(Said):
    async def has_permission(self, source: Any, info: Info, **kwargs: Any) -> Any:
        return super().has_permission(source, info, **kwargs)


async def later(verdict: Any) -> Any:
    return verdict


async def several() -> AsyncIterator[bool]:
    yield True


def boom() -> bool:
    raise ValueError("boom")


def awaited(verdict: Any) -> Any:
    def said() -> Awaitable[Any]:
        return later(verdict)

    return said


@strawberry.enum
class Colour(enum.Enum):
    RED = "r"


@strawberry.input
class Inner:
    number: int = 3
    colour: Colour | None = None


@strawberry.input
class Outer:
    name: str
    inner: Inner | None = strawberry.UNSET
    more: list[Inner] = strawberry.field(default_factory=list)


VERDICTS: dict[str, list[BasePermission]] = {
    "yes": [Said(verdict=True)],
    "yes_later": [SaidLater(verdict=True), Said(verdict=True)],
    "no": [Said(verdict=True), Said(verdict=False), Said(verdict=True)],
    "no_later": [SaidLater(verdict=False, message="Not later.")],
    "plain_later": [Said(awaited(verdict=True))],
    "plain_no": [Said(awaited(verdict=False))],
    "truthy": [Said(1)],
    "nothing": [SaidLater(None)],
    "twice": [SaidLater(awaited(verdict=True))],
    "generator": [Said(several)],
    "boom": [Said(boom)],
}


def field(permissions: list[BasePermission], *, silent: bool = False) -> Any:
    async def resolve(
        self: Any,
        info: Info,
        colour: Colour = Colour.RED,
        colours: list[Colour] | None = None,
        number: int | None = strawberry.UNSET,
        key: strawberry.relay.GlobalID | None = None,
        given: Outer | None = None,
        two_words: str = "",
    ) -> str | None:
        info.context.append(("resolved", repr((colour, colours, number, key, given, two_words))))
        if number == 13:
            raise ValueError("unlucky")
        return None if number == 0 else f"{info.field_name} of {type(self).__name__}"

    return strawberry.field(resolve, extensions=[PermissionExtension(permissions, fail_silently=silent)])


async def bare() -> str:
    return "bare"


async def of_parent(parent: strawberry.Parent[Any], which: int = 1) -> str:
    return f"{type(parent).__name__} {which}"


class Yes(SaidLater):
    def __init__(self) -> None:
        super().__init__(verdict=True)


GUARDS: Any = type(
    "Guards",
    (),
    {
        "__annotations__": {},
        "bare": strawberry.field(bare, permission_classes=[Yes]),
        "of_parent": strawberry.field(of_parent, extensions=[PermissionExtension([Yes()])]),
        "silent": field([Said(verdict=False)], silent=True),
        **{name: field(permissions) for name, permissions in VERDICTS.items()},
    },
)
Guards = strawberry.type(GUARDS)


def guards() -> Any:
    return Guards()


QUERY: Any = type("Query", (), {"guards": strawberry.field(guards, graphql_type=Guards)})
SCHEMA = strawberry.Schema(strawberry.type(QUERY))
PLANS, WITHOUT = PlansAtOnce(SCHEMA), Engine(SCHEMA, compiled=False)
ARGUMENTS = [
    "",
    "(colour: RED, number: 5)",
    "(number: null, colours: [RED, RED])",
    '(number: 13, twoWords: "x")',
    "(number: 0)",
    "(number: $number, colour: $colour)",
    '(given: {name: "n"})',
    '(given: {name: "n", inner: {colour: RED}, more: [{number: $number}, {}]})',
    "(given: $given, key: $key)",
]
KEY = "VGhpbmc6MQ=="
VARIABLES: list[dict[str, Any]] = [
    {},
    {"number": 7, "colour": "RED", "given": {"name": "x", "inner": None, "more": [{"number": 1}]}, "key": KEY},
    {"number": None, "key": "!"},
]
NAMES = [
    "yes",
    "yesLater",
    "no",
    "noLater",
    "plainLater",
    "plainNo",
    "truthy",
    "nothing",
    "twice",
    "generator",
    "boom",
    "silent",
]


async def told(engine: Engine, document: str, variables: dict[str, Any]) -> Any:
    log: list[Any] = []
    answer = await engine.execute(GraphQLRequest(document, variables), log)
    if not isinstance(answer, Executed):
        return answer
    errors = [(error.message, error.path, error.extensions) for error in answer.errors]
    return answer.data, errors, log


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("arguments", ARGUMENTS)
async def test_as_graphql_core_does(name: str, arguments: str) -> None:
    head = {
        "$number": "$number: Int",
        "$colour": "$colour: Colour! = RED",
        "$given": "$given: Outer",
        "$key": "$key: GlobalID",
    }
    declared = ", ".join(text for variable, text in head.items() if variable in arguments)
    document = f"query{f'({declared})' if declared else ''} {{ guards {{ a: {name}{arguments} {name}{arguments} }} }}"
    for variables in VARIABLES:
        plans, without = [await told(engine, document, variables) for engine in (PLANS, WITHOUT)]
        assert repr(plans) == repr(without)


async def test_what_needs_more_than_a_guard_takes_the_way_of_strawberry() -> None:
    document = "{ guards { bare ofParent other: ofParent(which: 2) } }"
    plans, without = [await told(engine, document, {}) for engine in (PLANS, WITHOUT)]
    assert plans == without
    assert plans[0] == {"guards": {"bare": "bare", "ofParent": "Guards 1", "other": "Guards 2"}}
