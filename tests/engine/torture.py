"""A schema that does everything to an executor: each field answers, fails, waits or lies by its place and a seed."""

import asyncio
import enum
import random
import typing
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, NewType, TypeVar

import strawberry
from graphql import GraphQLError
from strawberry.dataloader import DataLoader
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission, PermissionExtension
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types.cast import cast

from tests.engine.documents_strategy import Scalars


class Oops(Exception):
    """What resolvers raise here."""


class Later:
    """An awaitable that is no coroutine: it may be left alone without a warning."""

    def __init__(self, value: Any, waits: int = 1) -> None:
        self._value = value
        self._waits = waits

    def __await__(self) -> Generator[Any, None, Any]:
        for _ in range(self._waits):
            yield
        if isinstance(self._value, Oops):
            raise self._value
        return self._value


@dataclass
class World:
    """The context of one request. All chance comes from the seed; `log` is what was called, in order."""

    seed: int
    calm: bool = False
    log: list[Any] = field(default_factory=list)
    loader: DataLoader[int, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.loader = DataLoader(self._load)

    async def _load(self, keys: list[int]) -> list[Any]:
        self.log.append(("batch", list(keys)))
        await asyncio.sleep(0)
        return [Oops(f"no {key}") if key % 7 == 6 and not self.calm else key for key in keys]

    def chance(self, *salt: object) -> random.Random:
        """Dice that fall the same way at the same place, whichever executor asks."""
        return random.Random(f"{self.seed} {salt}")


Info = strawberry.Info[World, None]
Value = TypeVar("Value")
Odd = NewType("Odd", object)
BigInt = NewType("BigInt", int)


@strawberry.enum
class Color(enum.Enum):
    RED = "red"
    GREEN = strawberry.enum_value("green", name="VERT")
    BLUE = 3


@strawberry.enum
class Size(enum.StrEnum):
    SMALL = "small"
    LARGE = "large"


@strawberry.enum
class Rights(enum.Flag):
    READ = 1
    WRITE = 2


def write_odd(value: object) -> Any:
    """A scalar that fails, or gives nothing, now and then."""
    if value == "bad":
        raise Oops("an odd value")
    if value == "later":
        return Later("odd")
    return None if value == "none" else f"odd {value}"


SCALAR_MAP: dict[object, Any] = {
    Odd: strawberry.scalar(name="Odd", serialize=write_odd, parse_value=lambda value: value),
    BigInt: strawberry.scalar(name="BigInt", serialize=str, parse_value=int),
}

_GOOD: dict[str, Callable[[random.Random], Any]] = {
    "str": lambda dice: dice.choice(["a", "", "Ω", "x" * 20]),
    "int": lambda dice: dice.choice([0, 7, -(2**31), 2**31 - 1]),
    "float": lambda dice: dice.choice([0.0, 1.5, -2.5, 3]),
    "bool": lambda dice: dice.choice([True, False]),
    "id": lambda dice: dice.choice(["1", 2, "x"]),
    "color": lambda dice: dice.choice([Color.RED, Color.GREEN, Color.BLUE, "red"]),
    "size": lambda dice: dice.choice([Size.SMALL, Size.LARGE, "large"]),
    "decimal": lambda dice: dice.choice([Decimal("1.50"), Decimal("0")]),
    "moment": lambda _dice: datetime(2026, 11, 20, 14, 5, 6, tzinfo=UTC),
    "odd": lambda dice: dice.choice(["fine", 3, Decimal(1)]),
    "odder": lambda dice: dice.choice(["fine", "later", 3, "fine", "none", "bad"]),
    "rights": lambda dice: dice.choice([Rights.READ, Rights.WRITE, Rights.READ]),
    "big": lambda dice: dice.choice([2**60, 1]),
    "json": lambda dice: dice.choice([{"a": [1, None]}, [], "text", 0]),
}
_BAD: tuple[Any, ...] = (
    None, "bad", "none", 2**40, float("nan"), float("inf"), object, [], {}, b"bytes", True, 1.5, Oops("as a value"),
    GraphQLError("as an error"), Color.RED, Size.SMALL,
)  # fmt: skip


def leaf(world: World, kind: str, *salt: object) -> Any:
    """A value for a leaf: mostly one that fits."""
    dice = world.chance(kind, *salt)
    roll = 1.0 if world.calm else dice.random()
    if roll < 0.03:
        return dice.choice(_BAD)
    good = _GOOD[kind](dice)
    return Later(good, dice.randint(0, 2)) if roll < 0.07 else good


def behave(info: Info, good: Callable[[random.Random], Value], *, waits: bool = True) -> Value:
    """What a resolver does at its place: give a good value, now or later, or fail in one of many ways."""
    world = info.context
    path = info.path.as_list()
    world.log.append(("call", path, _seen(info)))
    dice = world.chance("behave", path)
    roll = 1.0 if world.calm else dice.random()
    if roll < 0.03:
        raise dice.choice([Oops(f"at {path}"), GraphQLError("ours", extensions={"code": "X"}), KeyError("key")])
    value: Any = dice.choice(_BAD) if roll < 0.06 else good(dice)
    how = dice.randint(0, 9) if waits else 9
    if how == 0:
        value = Later(value, dice.randint(0, 2))
    elif how <= 3:
        value = _later(world, path, value, dice)
    return typing.cast("Value", value)


def _seen(info: Info) -> Any:
    raw = info._raw_info
    return (
        raw.field_name,
        str(raw.return_type),
        str(raw.parent_type),
        tuple(raw.path),
        len(raw.field_nodes),
        sorted(raw.fragments),
        repr(raw.variable_values),
        raw.operation.name,
        raw.root_value,
        repr(info.selected_fields),
        info.input_extensions,
    )


async def _later(world: World, path: list[str | int], value: Any, dice: random.Random) -> Any:
    waits, fails = dice.randint(0, 3), not world.calm and dice.random() < 0.1
    loads = dice.random() < 0.4
    world.log.append(("begin", path))
    for _ in range(waits):
        await asyncio.sleep(0)
    if loads:
        world.log.append(("loaded", path, await world.loader.load(dice.randint(0, 20))))
    world.log.append(("end", path))
    if fails:
        raise Oops(f"late at {path}")
    return value


class Allowed(BasePermission):
    message = "Not allowed."

    def has_permission(self, source: Any, info: Info, **kwargs: Any) -> bool:
        dice = info.context.chance("allowed", info.path.as_list())
        if not info.context.calm and dice.random() < 0.15:
            raise Oops("a guard failed")
        return info.context.calm or dice.random() < 0.8


class AllowedLater(Allowed):
    message = "Not allowed, it turned out."
    error_extensions = {"code": "FORBIDDEN"}  # noqa: RUF012 - as Strawberry declares it

    async def has_permission(self, source: Any, info: Info, **kwargs: Any) -> bool:  # type: ignore[override]  # either
        await asyncio.sleep(0)
        return super().has_permission(source, info, **kwargs)


class Doubled(FieldExtension):
    """Gives texts twice."""

    def resolve(self, next_: Any, source: Any, info: Info, **kwargs: Any) -> Any:
        value = next_(source, info, **kwargs)
        return value * 2 if isinstance(value, str) else value

    async def resolve_async(self, next_: Any, source: Any, info: Info, **kwargs: Any) -> Any:
        value = await next_(source, info, **kwargs)
        return value * 2 if isinstance(value, str) else value


@strawberry.input
class Inner:
    text: str = "inner"
    numbers: list[int] = strawberry.field(default_factory=list)


@strawberry.input
class Thing:
    name: str
    color: Color = Color.RED
    amount: Decimal | None = None
    inner: Inner | None = None
    inners: list[Inner | None] | None = None
    value: JSON | None = None


def ids(dice: random.Random, most: int = 3) -> list[int]:
    return [dice.randint(0, 30) for _ in range(dice.randint(0, most))]


@strawberry.interface
class Being:
    world: strawberry.Private[World]
    number: strawberry.Private[int]
    name: str
    nick: str | None

    @strawberry.field
    def key(self) -> strawberry.ID:
        return strawberry.ID(f"{type(self).__name__}:{self.number}")

    @strawberry.field
    def friend(self, info: Info) -> "Being | None":
        return behave(info, lambda dice: being(self.world, dice.randint(0, 30)))

    @strawberry.field
    def must_friend(self, info: Info) -> "Being":
        return behave(info, lambda dice: being(self.world, dice.randint(0, 30)))

    @strawberry.field
    async def friends(self, info: Info, first: int = 3) -> "list[Being]":
        return behave(info, lambda dice: [being(self.world, n) for n in ids(dice, max(0, min(first, 4)))], waits=False)

    @strawberry.field
    async def partner(self, info: Info) -> "Being | None":
        info.context.log.append(("partner", info.path.as_list()))
        number: int = await info.context.loader.load(self.number % 10)
        return being(self.world, number)


@strawberry.type
class Human(Being):
    age: int
    height: float | None
    alive: bool
    color: Color
    size: Size | None
    born: datetime
    wealth: Decimal
    odd: Odd
    maybe_odd: Odd | None
    rights: Rights | None
    big: BigInt | None
    data: JSON | None
    tags: list[str]
    grid: list[list[int]] | None
    holes: list[list[int | None] | None]
    house: "House | None"
    home: "House"

    @strawberry.field
    def twin(self) -> "Human":
        return human(self.world, self.number + 1)

    @strawberry.field(permission_classes=[Allowed])
    def secret(self) -> str:
        return "secret"

    @strawberry.field(permission_classes=[AllowedLater])
    async def deep_secret(self) -> str | None:
        return "deep"

    @strawberry.field(extensions=[Doubled()])
    def loud(self, info: Info) -> str | None:
        return behave(info, lambda _dice: "la", waits=False)

    @strawberry.field(extensions=[Doubled()])
    async def louder(self, info: Info, text: str = "lala") -> str:
        return text

    quiet: str = strawberry.field(extensions=[PermissionExtension([Allowed()])], default="quiet")


@strawberry.type
class Robot(Being):
    model: str
    parts: list["Robot | None"] | None

    @classmethod
    def is_type_of(cls, obj: Any, info: Any) -> Any:
        fits = isinstance(obj, Robot | Ghost)
        waits = getattr(obj, "number", 0) % 3 == 0
        return Later(fits) if waits else fits

    @strawberry.field
    def matrix(self, info: Info) -> list[list["Being"]] | None:
        return behave(info, lambda dice: [[being(self.world, n) for n in ids(dice, 2)] for _ in range(2)])


@strawberry.interface
class Shape:
    sides: int

    @classmethod
    def resolve_type(cls, obj: Any, info: Any, abstract: Any) -> Any:
        """What the object says it is, which may be nonsense, and may take its time."""
        return obj.claim


@strawberry.type
class Circle(Shape):
    claim: strawberry.Private[Any]


@strawberry.type
class Square(Shape):
    claim: strawberry.Private[Any]


CLAIMS: tuple[Any, ...] = (
    "Circle", "Square", Later("Circle"), Later("House"), None, 7, "Nothing", "Int", "House", Oops("no shape"), "Shape",
)  # fmt: skip


def shape(claim: Any) -> Shape | None:
    return Circle(sides=0, claim=claim)


class Ghost:
    """An object that is no instance of a type of the schema: some attributes are missing, some fail."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.name = "ghost"
        self.parts: Any = None

    @property
    def model(self) -> str:
        raise Oops("a property failed")


@strawberry.type
class House:
    world: strawberry.Private[World]
    number: strawberry.Private[int]
    street: str
    rooms: int | None

    @strawberry.field
    def owner(self, info: Info) -> Human | None:
        return behave(info, lambda dice: human(self.world, dice.randint(0, 30)))

    @strawberry.field
    def pets(self, info: Info) -> list[Annotated["Cat | Dog", strawberry.union("Pet")]]:
        return behave(info, lambda dice: [pet(self.world, n) for n in ids(dice)])

    @strawberry.field
    async def loaded(self, info: Info, key: int = 1) -> str | None:
        return f"loaded {await info.context.loader.load(key % 30)}"


@strawberry.type
class Cat:
    name: str
    lives: int = 9


@strawberry.type
class Dog:
    name: str | None
    tricks: list[str | None]

    @strawberry.field
    def noise(self) -> str:
        return "wuff"


def being(world: World, number: int) -> Being:
    """A human, a robot, or something that is neither."""
    if number % 5 == 4 and not world.calm:
        ghost: Any = Ghost(world, number)
        return cast(Robot, ghost) if number % 2 else typing.cast("Being", ghost)
    if number % 5 >= 2:
        parts: Any = [being(world, n) for n in range(number % 3)] if 5 < number < 15 else None
        robot = Robot(world=world, number=number, name="", nick=None, model="", parts=parts)
        fill(robot, world, number, name="str", nick="str", model="str")
        return robot
    return human(world, number)


_KINDS = {
    "name": "str", "nick": "str", "age": "int", "height": "float", "alive": "bool", "color": "color", "size": "size",
    "born": "moment", "wealth": "decimal", "odd": "odd", "maybe_odd": "odder", "rights": "rights", "big": "big",
    "data": "json",
}  # fmt: skip


def fill(target: object, world: World, number: int, **kinds: str) -> None:
    for name, kind in kinds.items():
        setattr(target, name, leaf(world, kind, type(target).__name__, number, name))


def human(world: World, number: int) -> Human:
    dice = world.chance("human", number)
    home = House(world=world, number=number, street="street", rooms=leaf(world, "int", "rooms", number))
    lists: dict[str, Any] = {
        "tags": [leaf(world, "str", "tags", number, n) for n in range(number % 4)],
        "grid": [[leaf(world, "int", "grid", number, n, m) for m in range(2)] for n in range(number % 3)],
        "holes": [None, [None, leaf(world, "int", "holes", number)], Later([1, 2])],
    }
    if not world.calm and dice.random() < 0.2:
        lists["tags"] = dice.choice([None, "text", 7, (n for n in ("a", "b")), stream(["a", "b"]), {"a": 1}])
    values: dict[str, Any] = dict.fromkeys(_KINDS) | lists
    made = Human(world=world, number=number, house=home if dice.random() < 0.7 else None, home=home, **values)
    if not world.calm and dice.random() < 0.1:
        made.home = dice.choice([None, Later(home), Oops("no home"), House])  # type: ignore[assignment]  # a lie
    fill(made, world, number, **_KINDS)
    return made


def pet(world: World, number: int) -> Any:
    if number % 7 == 0 and not world.calm:
        return House(world=world, number=1, street="no pet", rooms=1)
    if number % 2:
        return Cat(name=leaf(world, "str", "cat", number))
    return Dog(name=leaf(world, "str", "dog", number), tricks=[leaf(world, "str", "trick", number, 0), None])


def later(value: Value, waits: int) -> Value:
    return typing.cast("Value", Later(value, waits))


def lie(value: object) -> Any:
    """The value where it does not belong."""
    return value


async def stream(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        if isinstance(item, Oops):
            raise item
        yield item


@strawberry.type
class Query:
    version: str = "1"

    @strawberry.field
    def beings(self, info: Info, first: int | None = 2) -> list[Being | None] | None:
        return behave(info, lambda dice: [lie(being(info.context, n)) for n in ids(dice, max(0, min(first or 0, 5)))])

    @strawberry.field
    def being(self, info: Info, number: int = 1) -> Being:
        return behave(info, lambda _dice: being(info.context, abs(number) % 31))

    @strawberry.field
    async def human(self, info: Info, id: strawberry.ID) -> Human | None:
        return behave(info, lambda _dice: human(info.context, len(id) + 1), waits=False)

    @strawberry.field
    def humans(self, info: Info) -> list[Human] | None:
        return behave(info, lambda dice: [human(info.context, n) for n in ids(dice, 4)])

    @strawberry.field
    def robots(self, info: Info) -> list[Robot | None] | None:
        return behave(info, lambda _dice: [lie(later(being(info.context, n), n)) for n in (2, 3, 4)])

    @strawberry.field
    def streamed(self, info: Info) -> list[Human | None] | None:
        broken = [] if info.context.calm else [Oops("the stream broke")]

        def items(dice: random.Random) -> list[Human | None]:
            beings = [human(info.context, n) for n in ids(dice)]
            return typing.cast("list[Human | None]", stream(beings + dice.choice([[], broken])))

        return behave(info, items)

    @strawberry.field
    def anything(self, info: Info) -> list[Annotated[Human | Robot | Cat, strawberry.union("Anything")] | None] | None:
        return behave(info, lambda dice: [*(being(info.context, n) for n in ids(dice)), pet(info.context, 3), None])

    @strawberry.field
    def shapes(self, info: Info) -> list[Shape | None] | None:
        claims = CLAIMS[:3] if info.context.calm else CLAIMS
        return behave(info, lambda dice: [shape(dice.choice(claims)) for _ in range(3)])

    @strawberry.field
    def nested(self, info: Info) -> list[list[list[Color | None]] | None] | None:
        return behave(info, lambda dice: [[[leaf(info.context, "color", n)] for n in ids(dice)], None])

    @strawberry.field
    def numbers(self, info: Info) -> list[int]:
        values = ids(info.context.chance("numbers"), 5)
        return behave(info, lambda _dice: [leaf(info.context, "int", n) for n in values])

    @strawberry.field
    def later_numbers(self, info: Info) -> list[int | None] | None:
        return behave(info, lambda dice: [later(n if n % 5 else lie(Oops("an item")), n % 3) for n in ids(dice, 4)])

    @strawberry.field
    def told(
        self,
        thing: Thing,
        things: list[Thing] | None = None,
        color: Color = Color.GREEN,
        colors: list[Color | None] | None = None,
        size: Size | None = Size.LARGE,
        number: int | None = strawberry.UNSET,
        odd: Odd | None = None,
        at: datetime | None = None,
        value: JSON | None = None,
    ) -> str:
        """What it was told, and what it does to it must be nobody else's concern."""
        said = repr((thing, things, color, colors, size, number, odd, at, value))
        given: list[Any] = [value, colors, things, thing.value]
        for mutable in given:
            if isinstance(mutable, list):
                mutable.append("changed")
            elif isinstance(mutable, dict):
                mutable["changed"] = True
        return said

    @strawberry.field
    async def guess(self, root: Any, info: Info, number: int, of: list[int]) -> bool:
        info.context.log.append(("guess", info.path.as_list(), number, of, root))
        return number in of

    @strawberry.field
    def again(self) -> "Query":
        return Query()


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self, info: Info, number: int = 1) -> int:
        return behave(info, lambda _dice: number)

    @strawberry.mutation
    def must_touch(self, info: Info) -> str:
        return behave(info, lambda _dice: "touched")

    @strawberry.mutation
    async def make(self, info: Info, thing: Thing) -> Human | None:
        info.context.log.append(("make", info.path.as_list(), repr(thing)))
        await asyncio.sleep(0)
        return human(info.context, len(thing.name))

    @strawberry.mutation(permission_classes=[Allowed, AllowedLater])
    async def guarded(self, info: Info) -> str | None:
        info.context.log.append(("guarded", info.path.as_list()))
        return "done"


schema = strawberry.Schema(
    query=Query, mutation=Mutation, types=[Human, Robot, Circle, Square], config=StrawberryConfig(scalar_map=SCALAR_MAP)
)

LITERALS: Scalars = {
    "Odd": [('"fine"', "fine"), ("7", 7)],
    "BigInt": [("1", 1), ("5", "5")],
    "JSON": [("{a: [1, 2]}", {"a": [1, 2]}), ("[]", []), ('"text"', "text")],
    "DateTime": [('"2026-11-20T14:05:06Z"', "2026-11-20T14:05:06Z"), ('"2026-01-01T00:00:00Z"', "never")],
    "Decimal": [('"1.50"', "1.50"), ("3", 3), ('"0"', "many")],
}
"""Of the scalars: what fits as a literal, and as JSON what may not fit."""
