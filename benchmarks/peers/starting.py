"""Cold starts and the memory of a worker, beside those of a process that merely imports the libraries."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.peers import load, meters
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.environments import Environments
from benchmarks.peers.ground import ROOT, Ground
from benchmarks.peers.operations import OPERATIONS
from benchmarks.peers.processes import serving
from benchmarks.peers.rounds import Bench, Say

LIBRARIES = ("strawberry", "starlette", "uvicorn", "sqlalchemy", "asyncpg", "jwt", "cryptography", "httpx", "svix")
_SERVE_SECONDS = 2.0
# It tells that it has them, and waits to be looked at.
_IMPORT = f"import sys, {', '.join(LIBRARIES)}; print(flush=True); sys.stdin.read()"


@dataclass(frozen=True, slots=True)
class Start:
    """Medians: seconds until the first answer to Q1; memory in MiB then, and once each operation had its load.

    Of the mere imports: until they are done, and memory then.
    """

    name: str
    seconds: float
    memory: float
    served: float | None


def starts(bench: Bench, contestants: Sequence[Contestant], environments: Environments, say: Say) -> list[Start]:
    """The imports first; all take turns, so that what slows the machine for a while slows all."""
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(bench.plan.starts):
        say(f"start {number + 1} of {bench.plan.starts}")
        found.setdefault("imports", []).append(_imports())
        for contestant in contestants:
            found.setdefault(contestant.key, []).append(_start(bench.ground, contestant, environments))
    served = {one.key: _served(bench, one, environments, say) for one in contestants}
    return [
        Start(name, median(seconds for seconds, _ in of), median(memory for _, memory in of), served.get(name))
        for name, of in found.items()
    ]


def _imports() -> tuple[float, float]:
    began = time.monotonic()
    command = [sys.executable, "-c", _IMPORT]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
    with process:
        assert process.stdout is not None  # it is a pipe
        process.stdout.readline()
        return time.monotonic() - began, meters.memory(process.pid)


def _start(ground: Ground, contestant: Contestant, environments: Environments) -> tuple[float, float]:
    with serving(contestant, ground, environments, OPERATIONS["Q1"], ground.token(0)) as server:
        return server.ready_after, meters.memory(server.pid)


def _served(bench: Bench, contestant: Contestant, environments: Environments, say: Say) -> float:
    say(f"memory of {contestant.key}")
    ground = bench.ground
    with serving(contestant, ground, environments, OPERATIONS["Q1"], ground.token(0)) as server:
        for operation in OPERATIONS.values():
            load.run(bench.requests(server, operation), server.port, _SERVE_SECONDS)
        return meters.memory(server.pid)
