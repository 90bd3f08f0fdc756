"""The benchmarks run: tiny numbers, so that what they say here means nothing."""

from pathlib import Path

from benchmarks.__main__ import MEASUREMENTS, main, measure
from benchmarks.world import Sizes, World
from tests.resolvers.conftest import COMPILED

TINY = Sizes(rounds=1, seconds=0.02, connections=(2,), accounts=3, rows=5, scans=50, listed=600)


async def test_every_measurement_has_lines_and_they_are_ratios(scratch_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    lines = await measure(World(scratch_url, tmp_path, TINY), list(MEASUREMENTS), said.append)
    assert said
    assert len(lines) == 4 + 2 + 1 + 3 + 3 + 2 + 2
    assert all(line.ratio or line.figures.isdigit() for line in lines)
    nested = lines[-1]
    assert (nested.figures, nested.aim) == ("1" if COMPILED else "3", "at most 1")


def test_an_unknown_measurement_is_refused() -> None:
    assert main(["everything"]) == 2
