"""`make bench`: a throwaway Postgres with durable settings, every measurement in it, one table at the end."""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

import logs
from benchmarks.comparing import Line, Say
from benchmarks.importing import importing
from benchmarks.peers import __main__ as peers
from benchmarks.scans import scans
from benchmarks.spending import spending
from benchmarks.statements import statements
from benchmarks.usage import usage
from benchmarks.world import QUICK, Sizes, World
from db import migrate
from db.embedded import EmbeddedPostgres

MEASUREMENTS: dict[str, Callable[[World, Say], Awaitable[list[Line]]]] = {
    "spending": spending,
    "importing": importing,
    "scans": scans,
    "usage": usage,
    "statements": statements,
}
PEERS = "peers"
USAGE = f"Usage: python -m benchmarks [--quick] [{'] ['.join([*MEASUREMENTS, PEERS])}]"


async def measure(world: World, names: Sequence[str], say: Say) -> list[Line]:
    """The lines of these measurements; the database of `world` is empty and ends up full."""
    await migrate.migrate(world.url)
    return [line for name in names for line in await MEASUREMENTS[name](world, say)]


def main(arguments: Sequence[str]) -> int:
    """Run those named, or all."""
    quick = [argument for argument in arguments if argument == "--quick"]
    names = [argument for argument in arguments if argument != "--quick"] or [*MEASUREMENTS, PEERS]
    if not set(names) <= {*MEASUREMENTS, PEERS}:
        Console(stderr=True).print(USAGE, markup=False)
        return 2
    own = [name for name in names if name != PEERS]
    code = _measure_own(own, QUICK if quick else Sizes()) if own else 0
    return code or (peers.main(quick) if PEERS in names else 0)


def _measure_own(names: Sequence[str], sizes: Sizes) -> int:
    """What is measured beside the bare way to the same thing."""
    logs.configure("error")
    # As Ctrl-C does: what was started and made for this run goes with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="gatehouse-bench-"))
    folder.chmod(0o755)
    try:
        lines = _on_a_server_of_our_own(folder, sizes, names)
    except KeyboardInterrupt:
        return 1
    finally:
        shutil.rmtree(folder)
    _show(lines)
    return 0


def _on_a_server_of_our_own(folder: Path, sizes: Sizes, names: Sequence[str]) -> list[Line]:
    postgres = EmbeddedPostgres(folder / "pg", durable=True)
    console = Console(stderr=True)
    with console.status("starting Postgres") as status:

        def say(what: str) -> None:
            if console.is_terminal:
                status.update(what)

        try:
            return asyncio.run(measure(World(postgres.start(), folder, sizes), names, say))
        finally:
            postgres.stop()
            postgres.remove()


def _show(lines: Sequence[Line]) -> None:
    table = Table("what / beside", "ratio (lowest to highest)", "figures", "aim", box=None, pad_edge=False)
    for line in lines:
        table.add_row(line.name, line.ratio, line.figures, line.aim)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
