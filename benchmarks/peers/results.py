"""What a run has found, and what is computed from it: medians over rounds, and ratios within a round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.peers.contestants import FLOOR_KEY
from benchmarks.peers.lasting import Documents, Growth
from benchmarks.peers.rounds import Plan, Run, Sample
from benchmarks.peers.starting import Start


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of one to another: the median of the same-round ratios, the lowest and the highest."""

    middle: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{_short(self.middle)} ({_short(self.lowest)}–{_short(self.highest)})"


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.095 else f"{ratio:.3f}"


@dataclass(slots=True)
class Results:
    """Of the measurements that were asked for; `facts` say with what, `notes` what was left out."""

    plan: Plan
    titles: Mapping[str, str]
    facts: Sequence[str]
    notes: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    pages: list[Sample] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    growth: Growth | None = None
    documents: Documents | None = None


def servers_of(samples: Sequence[Sample]) -> list[str]:
    """In the order of the first round."""
    return list(dict.fromkeys(sample.server for sample in samples if sample.number == 0))


def operations_of(samples: Sequence[Sample]) -> list[str]:
    return list(dict.fromkeys(sample.operation for sample in samples))


def runs_of(samples: Sequence[Sample], server: str, operation: str) -> dict[int, Run]:
    """By their rounds."""
    return {one.number: one.run for one in samples if (one.server, one.operation) == (server, operation)}


def middle(samples: Sequence[Sample], server: str, operation: str, of: Callable[[Run], float]) -> float:
    """The median over the rounds."""
    return median(map(of, runs_of(samples, server, operation).values()))


def ratio(samples: Sequence[Sample], server: str, operation: str, base: str = FLOOR_KEY) -> Ratio | None:
    """Of requests per second; None without a round in which both took part."""
    mine, theirs = runs_of(samples, server, operation), runs_of(samples, base, operation)
    ratios = [mine[number].figures.rate / theirs[number].figures.rate for number in mine.keys() & theirs.keys()]
    return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None
