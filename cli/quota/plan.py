"""The plan of an attack on quotas, by its seed alone: who tries what, and when. Nothing is done here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

MESSAGES, PORTFOLIOS = "aiMessages", "portfolios"
SPENDERS, LIMIT = 200, 100
"""The first round: so many spend at once where so few may."""

ACCOUNTS = 6
STEPS = 60
_INSTANT = timedelta(microseconds=1)
_DEEDS = {"spend": 60, "return": 24, "adjust": 4, "attack": 8, "month": 4}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a worker tries. `number`: which attack, or by how much to adjust. Times are in seconds."""

    id: UUID
    deed: str
    account: UUID
    feature: str
    tier: str = "small"
    extra: int | None = None
    number: int = 0
    owner: bool = False
    pause: float = 0
    cancel_after: float | None = None
    to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker does in a round; `kills`: after so many answers it is killed."""

    steps: tuple[Step, ...]
    kills: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One account each for the steps to meet on; `limits` of each tier, by feature."""

    begins: datetime
    limits: Mapping[str, Mapping[str, int | None]]
    accounts: tuple[UUID, ...]
    shares: tuple[Share, ...]


def rounds(seed: int, processes: int, attacks: int) -> Iterator[Round]:
    """Without end: the classic first, then whatever the seed says. `attacks`: how many there are to choose from."""
    yield _classic(_random(seed, 0), processes)
    number = 0
    while True:
        number += 1
        yield _Draft(_random(seed, number), number, attacks).round(processes)


def _random(seed: int, number: int) -> Random:
    return Random(f"{seed}/{number}")  # noqa: S311 - to be repeated, not to be secret


def _uuid(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)


def _classic(random: Random, processes: int) -> Round:
    account = _uuid(random)
    steps = [Step(_uuid(random), "spend", account, MESSAGES) for _ in range(SPENDERS)]
    shares = tuple(Share(tuple(steps[worker::processes])) for worker in range(processes))
    return Round(_month(0) + timedelta(days=9), {"small": {MESSAGES: LIMIT, PORTFOLIOS: LIMIT}}, (account,), shares)


def _month(number: int) -> datetime:
    """The first moment of a month, counted from a January."""
    return datetime(2030 + number // 12, 1 + number % 12, 1, tzinfo=UTC)


class _Draft:
    """A round in the making."""

    def __init__(self, random: Random, number: int, attacks: int) -> None:
        self._random = random
        self._attacks = attacks
        self._boundary = _month(number)
        self._accounts = tuple(_uuid(random) for _ in range(ACCOUNTS))

    def round(self, processes: int) -> Round:
        small, more = self._random.randint(1, 5), self._random.randint(2, 20)
        limits: Mapping[str, Mapping[str, int | None]] = {
            "small": {MESSAGES: small, PORTFOLIOS: small},
            "large": {MESSAGES: small + more, PORTFOLIOS: small + more},
            "endless": {MESSAGES: None, PORTFOLIOS: None},
        }
        shares = tuple(self._share() for _ in range(processes))
        return Round(self._boundary - timedelta(seconds=self._random.random()), limits, self._accounts, shares)

    def _share(self) -> Share:
        steps = tuple(self._step(done / STEPS) for done in range(STEPS))
        kills = (self._random.randrange(STEPS),) if self._random.random() < 0.5 else ()
        return Share(steps, kills)

    def _step(self, progress: float) -> Step:
        random = self._random
        (deed,) = random.choices(list(_DEEDS), list(_DEEDS.values()))
        given: dict[str, Any] = {}
        if deed == "month":
            near = random.choice([-_INSTANT, timedelta(), _INSTANT, timedelta(hours=1)])
            given["to"] = self._boundary + near
        if deed == "attack":
            given |= {"number": random.randrange(self._attacks), "owner": random.random() < 0.5}
        if deed == "adjust":
            given["number"] = random.choice([-2, -1, 1, 2])
        return Step(
            _uuid(random),
            deed,
            random.choice(self._accounts),
            random.choice([MESSAGES, PORTFOLIOS]),
            tier=self._tier(progress),
            extra=random.choice([None, None, None, 1, 3]),
            pause=random.choice([0, 0, random.random() / 100]),
            cancel_after=random.random() / 30 if random.random() < 0.1 else None,
            **given,
        )

    def _tier(self, progress: float) -> str:
        """Large at first and small in the end, so that accounts are over the limit; seldom without limit."""
        if self._random.random() < 0.03:
            return "endless"
        return "small" if self._random.random() < progress else "large"
