"""What shows only after long: memory after many requests, and the cost of documents that are all different."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.peers import load, meters
from benchmarks.peers.load import COUNTER
from benchmarks.peers.operations import ME, OPERATIONS, Request, scans_page
from benchmarks.peers.processes import Server
from benchmarks.peers.rounds import Bench, Run, Sample, Say

PAGE_SIZES = (1, 5, 10, 20, 50, 100)
_SLICE_SECONDS = 5.0
_MOST_SECONDS = 1_800.0


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory in MiB at the requests answered by then."""

    points: Sequence[tuple[int, float]]

    @property
    def settled(self) -> tuple[int, float]:
        """The first point from a tenth of the requests on: by then everything was loaded and filled."""
        return next(point for point in self.points if point[0] >= self.points[-1][0] / 10)

    @property
    def grown(self) -> float:
        return self.points[-1][1] - self.settled[1]


@dataclass(frozen=True, slots=True)
class Documents:
    """A known document before, `count` different ones, the known one after; memory in MiB around them."""

    count: int
    before: Run
    different: Sequence[Run]
    after: Run
    memory_before: float
    memory_after: float


def growth(bench: Bench, server: Server, say: Say) -> Growth:
    """The four operations in turn until there were so many requests, or half an hour has passed."""
    points, answered, began = list[tuple[int, float]](), 0, time.monotonic()
    paths = [bench.requests(server, operation) for operation in OPERATIONS.values()]
    while answered < bench.plan.requests and time.monotonic() - began < _MOST_SECONDS:
        for path in paths:
            answered += load.run(path, server.port, _SLICE_SECONDS).requests
        points.append((answered, meters.memory(server.pid)))
        say(f"memory after {answered:,} requests: {points[-1][1]:.0f} MiB")
    return Growth(points)


def documents(bench: Bench, server: Server, say: Say) -> Documents:
    """Each document has a name of its own, so that none is found in a cache."""
    known = OPERATIONS["Q1"]
    before = bench.run(server, known)
    memory = meters.memory(server.pid)
    different = replace(known, graphql=Request.graphql(ME.replace("query Me", f"query Me{COUNTER}")))
    path, runs, sent = bench.requests(server, different), list[Run](), 0
    while sent < bench.plan.documents:
        runs.append(bench.once(server, path, seconds=_SLICE_SECONDS, counted_from=sent))
        sent += runs[-1].figures.requests + load.CONNECTIONS  # those on their way at the end were sent too
        say(f"{sent:,} documents")
    after = meters.memory(server.pid)
    return Documents(sent, before, runs, bench.run(server, known), memory, after)


def pages(bench: Bench, servers: Sequence[Server], say: Say) -> list[Sample]:
    """Q2 with other sizes of its page; `operation` of the samples is the size."""
    samples = []
    for number in range(bench.plan.rounds):
        for size in PAGE_SIZES:
            for server in servers[:: -1 if number % 2 else 1]:
                say(f"round {number + 1} of {bench.plan.rounds}: a page of {size}, {server.contestant.key}")
                samples.append(Sample(server.contestant.key, str(size), number, bench.run(server, scans_page(size))))
    return samples
