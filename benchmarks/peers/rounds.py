"""Load on the contestants in turn: rounds of runs, each measured, and repeated where others were at work meanwhile."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.peers import load, meters
from benchmarks.peers.ground import Ground
from benchmarks.peers.load import Figures
from benchmarks.peers.operations import Operation
from benchmarks.peers.processes import ContestantError, Server

NOISY = 0.25
"""Cores that others took during a run, from which on it is repeated."""
_QUIET_SECONDS = 20.0
_SETTLE_SECONDS = 10.0
_FEW = 4 * load.CONNECTIONS
"""Requests below which a run is too short to mean something; it is made anew, so many times as long."""
_LONGER = 4

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often. `tries`: how often a run is made at most until the machine is quiet.

    `starts` of each that is started, `requests` after which memory must not have grown, `documents` that differ.
    """

    rounds: int = 3
    warm_up: float = 1.0
    seconds: float = 4.0
    tries: int = 3
    starts: int = 5
    requests: int = 1_000_000
    documents: int = 100_000


QUICK = Plan(rounds=2, seconds=1.0, tries=1, starts=2, requests=50_000, documents=5_000)


@dataclass(frozen=True, slots=True)
class Run:
    """One run: CPU in microseconds per request, `foreign` in cores, the server's peak memory so far in MiB."""

    figures: Figures
    server_cpu: float
    postgres_cpu: float
    foreign: float
    peak: float

    @property
    def noisy(self) -> bool:
        return self.foreign >= NOISY


@dataclass(frozen=True, slots=True)
class Sample:
    """A run, and whose it was."""

    server: str
    operation: str
    number: int
    run: Run


class Bench:
    """Measures servers on one ground."""

    def __init__(self, ground: Ground, plan: Plan) -> None:
        self.ground = ground
        self.plan = plan
        self._tokens: dict[str, list[str]] = {}

    def rounds(self, servers: Sequence[Server], operations: Sequence[Operation], say: Say) -> Iterator[Sample]:
        """Every contestant in each operation, in each round; every second round in the opposite order."""
        for number in range(self.plan.rounds):
            for operation in operations:
                for server in servers[:: -1 if number % 2 else 1]:
                    say(f"round {number + 1} of {self.plan.rounds}: {operation.key}, {server.contestant.key}")
                    yield Sample(server.contestant.key, operation.key, number, self.run(server, operation))

    def run(self, server: Server, operation: Operation) -> Run:
        """The first quiet run, or of all that may be made the one with the least noise."""
        path = self.requests(server, operation)
        written = asyncio.run(self._tidy()) if operation.writes else 0
        answered, runs = 0, list[Run]()
        while len(runs) < self.plan.tries and all(run.noisy for run in runs):
            if runs:
                self._await_quiet(server)
            answered += load.run(path, server.port, self.plan.warm_up).requests
            self._settle(server)
            runs.append(self.once(server, path))
            if runs[-1].figures.requests < _FEW:
                runs[-1] = self.once(server, path, seconds=_LONGER * self.plan.seconds)
            answered += runs[-1].figures.requests
        # An answer of status 200 may be an error: in the end it still answers, and what it wrote is there.
        server.ask(operation, self._tokens[operation.key][0])
        if operation.writes and asyncio.run(self._tidy()) - written < answered:
            raise ContestantError(f"{server.contestant.key}: answered {answered} requests and wrote less.")
        return min(runs, key=lambda run: run.foreign)

    def once(self, server: Server, path: Path, *, seconds: float | None = None, counted_from: int | None = None) -> Run:
        """One run of the requests in a file; `ContestantError` where not every answer was a good one."""
        before = self._used(server)
        figures = load.run(path, server.port, seconds or self.plan.seconds, counted_from)
        used = self._used(server).since(before)
        self._settle(server)
        if figures.failed:
            raise ContestantError(f"{server.contestant.key}: {figures.failed} of {figures.requests} requests failed.")
        requests = max(1, figures.requests)
        return Run(
            figures=figures,
            server_cpu=used.server * 1e6 / requests,
            postgres_cpu=used.postgres * 1e6 / requests,
            foreign=used.foreign / figures.seconds,
            peak=meters.peak_memory(server.pid),
        )

    def _settle(self, server: Server) -> None:
        """Wait until the server is done with what nobody waits for any more, so that it does not weigh on the next."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        before = self._used(server)
        while time.monotonic() < deadline:
            time.sleep(0.1)
            now = self._used(server)
            if now.since(before).server < 0.03:
                return
            before = now

    def requests(self, server: Server, operation: Operation) -> Path:
        """A file with the requests of all who ask for this operation."""
        if operation.key not in self._tokens:
            numbers = operation.numbers(self.ground.scale)
            self._tokens[operation.key] = [self.ground.token(number) for number in numbers]
        path = self.ground.folder / f"{server.contestant.key}-{operation.key}.requests"
        request = server.contestant.dialect.request(operation)
        load.write(path, request, server.port, self._tokens[operation.key])
        return path

    def _used(self, server: Server) -> meters.Used:
        return meters.used(server.pid, self.ground.postmaster)

    def _await_quiet(self, server: Server) -> None:
        """Wait, within bounds, until others leave the machine alone for a second."""
        deadline = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < deadline:
            before = self._used(server)
            time.sleep(1)
            if self._used(server).since(before).foreign < NOISY:
                return

    async def _tidy(self) -> int:
        """So that nobody works among the dead rows of who came before; how many scans there are."""
        connection: Any = await asyncpg.connect(self.ground.url)
        try:
            await connection.execute("vacuum counters, usage_days")
            count: int = await connection.fetchval("select count(*) from scans")
            return count
        finally:
            await connection.close()
