"""`python -m benchmarks.peers`: a throwaway Postgres full of data, every contestant on it, tables and a chart."""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import logs
from benchmarks.peers import chart, dataset, lasting, report, rounds, sameness
from benchmarks.peers.contestants import CONTESTANTS, FLOOR_KEY, PRODUCT_KEY, Contestant
from benchmarks.peers.dataset import Scale
from benchmarks.peers.environments import Environments, InstallError, has_npm
from benchmarks.peers.facts import facts
from benchmarks.peers.ground import Ground, prepared
from benchmarks.peers.operations import OPERATIONS
from benchmarks.peers.processes import ContestantError, Server, serving
from benchmarks.peers.results import Results
from benchmarks.peers.rounds import Bench, Plan, Say
from benchmarks.peers.sameness import DifferenceError
from benchmarks.peers.starting import starts
from db.embedded import EmbeddedPostgres

PARTS = (*OPERATIONS, "start", "memory", "pages", "documents")
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Asked:
    """What to do: `parts` of the measurements, with these contestants, the floor first."""

    scale: Scale
    plan: Plan
    parts: Sequence[str]
    contestants: Sequence[Contestant]

    @property
    def needs(self) -> set[str]:
        return {contestant.needs for contestant in self.contestants} - {""}

    def contestant(self, key: str) -> Contestant | None:
        return next((one for one in self.contestants if one.key == key), None)


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked; whole runs write RESULTS.md and the chart beside it, all others print the tables."""
    options = _parser().parse_args(arguments)
    asked = Asked(
        dataset.QUICK if options.quick else Scale(),
        rounds.QUICK if options.quick else Plan(),
        options.only,
        [CONTESTANTS[key] for key in CONTESTANTS if key in options.servers or key == FLOOR_KEY],
    )
    logs.configure("error")
    # As Ctrl-C does: what was started and made for this run goes with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="gatehouse-peers-"))
    folder.chmod(0o755)
    try:
        results = _on_a_server_of_our_own(folder, asked)
    except KeyboardInterrupt:
        return 1
    except (ContestantError, DifferenceError, InstallError) as error:
        Console(stderr=True).print(str(error), markup=False)
        return 1
    finally:
        shutil.rmtree(folder)
    whole = not options.quick and options.only == list(PARTS) and options.servers == list(CONTESTANTS)
    _give(results, options.output or (_HERE.parent if whole else None))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, short runs")
    parser.add_argument("--only", type=_some_of(PARTS), default=list(PARTS), help=f"of {','.join(PARTS)}")
    keys = list(CONTESTANTS)
    parser.add_argument("--servers", type=_some_of(keys), default=keys, help=f"of {','.join(keys)}; always the floor")
    parser.add_argument("--output", type=Path, help="a folder to write RESULTS.md and results.svg into")
    return parser


class _some_of:  # noqa: N801 - argparse shows the name in its errors
    """Reads names with commas between them; each must be one of these."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        names = text.split(",")
        if not set(names) <= set(self._known):
            raise argparse.ArgumentTypeError(f"some of {','.join(self._known)}")
        return [name for name in self._known if name in names]


def _on_a_server_of_our_own(folder: Path, asked: Asked) -> Results:
    postgres = EmbeddedPostgres(folder / "pg", max_connections=300, shared_buffers="1GB", durable=False)
    console = Console(stderr=True)
    with console.status("starting Postgres") as status:

        def say(what: str) -> None:
            if console.is_terminal:
                status.update(what)
            else:
                console.print(what, markup=False, highlight=False)

        try:
            return measure(postgres.start(), folder, asked, say)
        finally:
            postgres.stop()
            postgres.remove()


def measure(url: str, folder: Path, asked: Asked, say: Say) -> Results:
    """What is asked, on the empty database at `url`; `DifferenceError` before anything where answers differ."""
    asked, notes = _possible(asked)
    environments = Environments(folder)
    say(f"installing what {', '.join(sorted(asked.needs)) or 'nobody'} needs")
    environments.install(asked.needs)
    say("making the data")
    with prepared(url, folder, asked.scale) as ground:
        return _measure(ground, environments, asked, notes, say)


def _measure(ground: Ground, environments: Environments, asked: Asked, notes: list[str], say: Say) -> Results:
    titles = {contestant.key: contestant.title for contestant in asked.contestants}
    results = Results(asked.plan, titles, facts(asked.scale, asked.needs, ground.version), notes)
    bench = Bench(ground, asked.plan)
    with ExitStack() as stack:
        first = OPERATIONS["Q1"]
        servers = [
            stack.enter_context(serving(one, ground, environments, first, ground.token(0))) for one in asked.contestants
        ]
        say("checking that all answer the same")
        sameness.check(servers, list(OPERATIONS.values()), ground)
        _rounds(results, bench, servers, asked.parts, say)
    if "start" in asked.parts:
        results.starts = starts(bench, asked.contestants, environments, say)
    product = asked.contestant(PRODUCT_KEY)
    if product is not None:
        for part in ("memory", "documents"):
            if part in asked.parts:
                with serving(product, ground, environments, first, ground.token(0)) as server:
                    _last(results, bench, server, part, say)
    return results


def _possible(asked: Asked) -> tuple[Asked, list[str]]:
    """Without those that cannot be installed here, and a note of it."""
    if "node" not in asked.needs or has_npm():
        return asked, []
    left = [contestant for contestant in asked.contestants if contestant.needs != "node"]
    return Asked(asked.scale, asked.plan, asked.parts, left), ["Without PostGraphile and mercurius: there is no npm."]


def _rounds(results: Results, bench: Bench, servers: Sequence[Server], parts: Sequence[str], say: Say) -> None:
    operations = [operation for key, operation in OPERATIONS.items() if key in parts]
    results.samples = list(bench.rounds(servers, operations, say))
    if "pages" in parts:
        both = [server for server in servers if server.contestant.key in (FLOOR_KEY, PRODUCT_KEY)]
        results.pages = lasting.pages(bench, both, say)


def _last(results: Results, bench: Bench, server: Server, part: str, say: Say) -> None:
    if part == "memory":
        results.growth = lasting.growth(bench, server, say)
    else:
        results.documents = lasting.documents(bench, server, say)


def _give(results: Results, folder: Path | None) -> None:
    page = report.markdown(results)
    if folder is None:
        sys.stdout.write(page)
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "RESULTS.md").write_text(page)
    if results.samples:
        (folder / "results.svg").write_text(chart.svg(results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
