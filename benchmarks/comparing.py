"""Contestants side by side: they take turns within one run, and only figures of the same round are compared."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median

Say = Callable[[str], None]
"""Shows what is being done now, where somebody is watching."""

Job = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Contestant:
    """`turn` gives one figure; the more the better."""

    name: str
    turn: Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: what was measured, the ratio to what stands beside it, and the figures behind it."""

    name: str
    ratio: str
    figures: str
    aim: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A contestant's figures, one for each round, and their ratios to those of another in the same rounds."""

    figures: Sequence[float]
    base: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        return [mine / theirs for mine, theirs in zip(self.figures, self.base, strict=True)]

    def line(self, name: str, unit: str, aim: str = "") -> Line:
        ratios = self.ratios
        ratio = f"{_short(median(ratios))} ({_short(min(ratios))} to {_short(max(ratios))})"
        return Line(name, ratio, f"{median(self.figures):,.0f} beside {median(self.base):,.0f} {unit}", aim)


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


async def compare(contestants: Sequence[Contestant], rounds: int, say: Say) -> dict[str, Sequence[float]]:
    """The figures of each by its name. One round is to warm up; every other one runs in the opposite order."""
    figures: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds + 1):
        for contestant in contestants[:: -1 if number % 2 else 1]:
            say(f"round {number} of {rounds}: {contestant.name}")
            figure = await contestant.turn()
            if number:
                figures[contestant.name].append(figure)
    return dict(figures)


async def per_second(jobs: Sequence[Job], seconds: float) -> float:
    """How often all of these together, each over and over and at the same time as the others, got done."""
    done, began = 0, time.perf_counter()

    async def repeat(job: Job) -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            await job()
            done += 1

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(repeat(job))
    return done / (time.perf_counter() - began)


async def once_per_second(job: Job) -> float:
    """How often it would get done, judged by a single time."""
    began = time.perf_counter()
    await job()
    return 1 / (time.perf_counter() - began)
