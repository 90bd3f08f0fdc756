"""RESULTS.md: the tables of a run, how it was measured, with what."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from statistics import median

from benchmarks.peers import rounds
from benchmarks.peers.contestants import FLOOR_KEY, PRODUCT_KEY
from benchmarks.peers.lasting import Documents, Growth
from benchmarks.peers.load import CONNECTIONS
from benchmarks.peers.operations import OPERATIONS
from benchmarks.peers.results import Results, middle, operations_of, ratio, servers_of
from benchmarks.peers.rounds import Sample
from benchmarks.peers.starting import LIBRARIES, Start

TARGETS = {"Q1": 0.8, "Q2": 0.95, "Q3": 0.95, "M1": 0.65}
"""What the ratio of Gatehouse to the floor is to reach."""
START_RATIO = 1.5
WORKER_MIB = 40


def markdown(results: Results) -> str:
    """The whole page."""
    parts: list[Iterable[str]] = [
        [
            "# Gatehouse beside its peers",
            "",
            "Written by `python -m benchmarks.peers`; peers/README.md says how to read it.",
        ]
    ]
    if results.samples:
        parts += [_ratios(results), _figures(results), _cpu(results), _versus(results)]
    if results.starts:
        parts.append(_starts(results.starts, results))
    if results.growth:
        parts.append(_growth(results.growth))
    if results.pages:
        parts.append(_pages(results.pages))
    if results.documents:
        parts.append(_documents(results.documents))
    parts.append(_method(results))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _head(operations: Sequence[str]) -> list[str]:
    return ["", *(f"{key}: {OPERATIONS[key].title}" for key in operations)]


def _ratios(results: Results) -> Iterator[str]:
    samples = results.samples
    operations = operations_of(samples)
    yield from ("## Requests per second as a ratio to the floor", "")
    yield "The median of same-round ratios, the lowest and the highest of them."
    yield from ("", "![The ratios as bars](results.svg)", "")
    rows = [
        [results.titles[server], *(str(ratio(samples, server, key) or "") for key in operations)]
        for server in servers_of(samples)
    ]
    aims = ["*Gatehouse's aim*", *(f"≥ {TARGETS[key]}" for key in operations)]
    yield from _table(_head(operations), [*rows, aims])


def _figures(results: Results) -> Iterator[str]:
    samples = results.samples
    operations = operations_of(samples)
    yield from ("## Requests per second, and milliseconds at the median and the 99th percentile", "")

    def cell(server: str, key: str) -> str:
        rate, p50, p99 = (
            middle(samples, server, key, of)
            for of in (lambda run: run.figures.rate, lambda run: run.figures.p50, lambda run: run.figures.p99)
        )
        return f"{rate:,.0f} · {p50:.1f} / {p99:.1f}"

    rows = [[results.titles[server], *(cell(server, key) for key in operations)] for server in servers_of(samples)]
    yield from _table(_head(operations), rows)


def _cpu(results: Results) -> Iterator[str]:
    samples = results.samples
    operations = operations_of(samples)
    yield from ("## CPU in microseconds per request: server / Postgres; and the most memory a server had", "")

    def cell(server: str, key: str) -> str:
        own, postgres = (
            middle(samples, server, key, of) for of in (lambda run: run.server_cpu, lambda run: run.postgres_cpu)
        )
        return f"{own:,.0f} / {postgres:,.0f}"

    rows = [
        [
            results.titles[server],
            *(cell(server, key) for key in operations),
            f"{max(one.run.peak for one in samples if one.server == server):.0f}",
        ]
        for server in servers_of(samples)
    ]
    yield from _table([*_head(operations), "peak RSS in MiB"], rows)


def _versus(results: Results) -> Iterator[str]:
    samples = results.samples
    peers = [server for server in servers_of(samples) if server not in (PRODUCT_KEY, FLOOR_KEY)]
    if PRODUCT_KEY not in servers_of(samples) or not peers:
        return
    operations = operations_of(samples)
    yield from ("## Gatehouse's requests per second as a ratio to each peer's", "")
    rows = [
        [results.titles[peer], *(str(ratio(samples, PRODUCT_KEY, key, base=peer) or "") for key in operations)]
        for peer in peers
    ]
    yield from _table(_head(operations), rows)


def _starts(starts: Sequence[Start], results: Results) -> Iterator[str]:
    base = starts[0]
    yield from ("## Cold start, and memory of a worker", "")
    yield f"Beside a process that merely imports {', '.join(LIBRARIES)}. From the start of the process to the"
    yield "first answer to Q1, with its connections opened, and its memory then; medians of"
    yield f"{results.plan.starts}. Memory again after two seconds of load of each operation. Gatehouse's aims:"
    yield f"{START_RATIO} times the imports, {WORKER_MIB} MiB above them."
    yield ""
    rows = [
        [
            "the imports" if start is base else results.titles[start.name],
            f"{start.seconds:.2f}",
            f"{start.seconds / base.seconds:.2f}",
            f"{start.memory:.0f} ({start.memory - base.memory:+.0f})",
            "" if start.served is None else f"{start.served:.0f} ({start.served - base.memory:+.0f})",
        ]
        for start in starts
    ]
    head = ["", "s to the first answer", "× imports", "MiB then (above imports)", "MiB after load (above imports)"]
    yield from _table(head, rows)


def _growth(growth: Growth) -> Iterator[str]:
    answered, memory = growth.points[-1]
    at, settled = growth.settled
    yield from ("## Memory of Gatehouse after many requests", "")
    yield f"The four operations in turn. {settled:.0f} MiB after {at:,} requests, {memory:.0f} MiB after {answered:,}:"
    yield f"{growth.grown:+.1f} MiB."
    step = max(1, len(growth.points) // 10)
    yield from ("", *_table(["requests", "MiB"], [[f"{at:,}", f"{mib:.1f}"] for at, mib in growth.points[::step]]))


def _pages(samples: Sequence[Sample]) -> Iterator[str]:
    servers = servers_of(samples)
    yield from ("## Cost against the size of a page: `scans(first: N)`", "")
    yield "Requests per second, and CPU in microseconds per request, server / Postgres."
    yield ""

    def cell(server: str, size: str) -> str:
        rate, own, postgres = (
            middle(samples, server, size, of)
            for of in (lambda run: run.figures.rate, lambda run: run.server_cpu, lambda run: run.postgres_cpu)
        )
        return f"{rate:,.0f} · {own:,.0f} / {postgres:,.0f}"

    rows = [
        [
            size,
            *(cell(server, size) for server in servers),
            *(str(ratio(samples, server, size)) for server in servers[1:]),
        ]
        for size in operations_of(samples)
    ]
    yield from _table(["N", *servers, *(f"{server} × {servers[0]}" for server in servers[1:])], rows)


def _documents(found: Documents) -> Iterator[str]:
    yield from ("## Documents that are all different", "")
    yield f"{found.count:,} of them, Q1 under as many names, sent to Gatehouse; and Q1 itself before and after."
    yield ""
    rates = median(run.figures.rate for run in found.different)
    cpu = median(run.server_cpu for run in found.different)
    rows = [
        [
            "Q1 before",
            f"{found.before.figures.rate:,.0f}",
            f"{found.before.server_cpu:,.0f}",
            f"{found.memory_before:.0f}",
        ],
        ["different ones", f"{rates:,.0f}", f"{cpu:,.0f}", f"{found.memory_after:.0f}"],
        ["Q1 after", f"{found.after.figures.rate:,.0f}", f"{found.after.server_cpu:,.0f}", ""],
    ]
    yield from _table(["", "requests/s", "server's CPU in µs", "MiB at its end"], rows)


def _method(results: Results) -> Iterator[str]:
    plan = results.plan
    yield from ("## How it was measured", "")
    yield "All contestants answer from one Postgres, each in one process with ten connections; Gatehouse has ten for"
    yield "reads and up to ten for transactions, and reads the accounts of those who ask at once together"
    yield "(docs/decisions/0011-who-asks-at-once-is-read-at-once.md). Before anything is timed"
    yield "they are asked all operations as several users and must give the same data: exactly the same to the byte of"
    yield "each value, but that moments and exact numbers may be spelled otherwise, and that PostGraphile has ids and"
    yield "cursors of its own. What `createScan` wrote is compared row by row, its payment included."
    yield ""
    yield f"{plan.rounds} rounds, every second one in the opposite order; {plan.seconds:g} s a run after"
    yield f"{plan.warm_up:g} s to warm up, on {CONNECTIONS} connections, with the tokens of up to 200 users in turn."
    yield "Load, servers and Postgres share the machine. A run during which other programs took"
    yield f"{rounds.NOISY} cores or more is repeated, {plan.tries} times at most. Gatehouse runs with the settings of"
    yield "production, but that nobody needs an invite; it fetches its issuer's keys, and its log goes to a file."
    yield "Postgres does not wait for its disk (`fsync=off`), so that `createScan`"
    yield "shows the work and not the disk."
    yield ""
    yield from (f"* {line}" for line in chain(results.facts, results.notes, [_noise(results)]))


def _noise(results: Results) -> str:
    every = [*results.samples, *results.pages]
    noisy = sum(sample.run.noisy for sample in every)
    worst = max((sample.run.foreign for sample in every), default=0.0)
    words = f"{noisy} of {len(every)} runs that count had {rounds.NOISY} cores or more of it"
    return f"Others' load: {words}; at most {worst:.2f}."
