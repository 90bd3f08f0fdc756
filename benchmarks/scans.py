"""Pushing a report beside a bare COPY of its rows, and a page deep in a long list beside the first."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

from benchmarks.comparing import Contestant, Line, Say, Standing, compare, once_per_second
from benchmarks.world import World, application
from db import queries
from db.models import new_id
from db.queries.paging import Window, order_of
from db.session import Database

FINDINGS = (1, 100, 5_000)
PAGE = 50
COLUMNS = ("id", "scan_id", "severity", "rule_id", "message", "path", "start_line", "suppressed")
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO")
PUSH = """mutation($report: String!) {
  createScan(input: {report: $report, again: true}) { created scan { findingCounts { high } } } }"""
LIST = """query($by: ScanOrderField!, $after: String) {
  scans(first: 50, after: $after, orderBy: {by: $by}) {
    pageInfo { hasNextPage endCursor } edges { node { id tool target status severity createdAt } } } }"""

_Ask = Callable[..., Awaitable[dict[str, Any]]]

# Straight into the table, as a million pushes would take hours; the numbers are spread so that every order has ties.
SCANS = """
insert into scans (id, user_id, tool, target, status, started_at, finished_at, duration_ms, severity,
    critical, high, medium, low, info, suppressed, created_at)
select gen_random_uuid(), $1, 'tool ' || number % 7, 'target ' || number % 1000, 'COMPLETE', moment,
    moment + (number % 5000) * interval '1 ms', number % 5000,
    (array['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO', null])[1 + number % 6], 0, 0, 0, 0, 0, 0, moment
from (select number, now() - number * interval '7 seconds' as moment from generate_series(1, $2::int) as number) as made
"""


async def scans(world: World, say: Say) -> list[Line]:
    """Through the whole application."""
    async with application(world) as client, world.connections(1) as [connection]:
        ask = partial(client.ask, client.person("user_scanner"))
        await ask("{ me { id } }")
        user = await connection.fetchval(
            "update users set tier = 'enterprise' where id = (select user_id from identities where subject = $1)"
            " returning id",
            "user_scanner",
        )
        lines = [await _pushing(world, ask, connection, count, say) for count in FINDINGS]
        return lines + await _listing(world, ask, connection, user, say)


async def _pushing(world: World, ask: _Ask, connection: Any, count: int, say: Say) -> Line:
    await connection.execute("create table if not exists bare_findings (like findings including all)")
    found = [_finding(number) for number in range(count)]
    report = json.dumps({"format": "gatehouse-scan", "version": 1, "tool": "benchmark", "findings": found})
    contestants = [
        Contestant("COPY", partial(once_per_second, partial(_copied, connection, found))),
        Contestant("push", partial(once_per_second, partial(ask, PUSH, {"report": report}))),
    ]
    figures = await compare(contestants, world.sizes.rounds, lambda what: say(f"push of {count}: {what}"))
    times = {name: [1_000 / figure for figure in of] for name, of in figures.items()}
    aim = "below 1,000 ms" if count == max(FINDINGS) else ""
    name = f"time of a push of {count:,} findings / of a bare COPY"
    return Standing(times["push"], times["COPY"]).line(name, "ms", aim)


def _finding(number: int) -> dict[str, Any]:
    return {
        "severity": SEVERITIES[number % 5],
        "ruleId": f"R{number % 90}",
        "message": f"Use of something that should not be used here, number {number}",
        "path": f"src/module_{number % 300}/file.py",
        "startLine": number % 800 + 1,
    }


async def _copied(connection: Any, found: list[dict[str, Any]]) -> None:
    scan = new_id()
    records = [
        (new_id(), scan, one["severity"], one["ruleId"], one["message"], one["path"], one["startLine"], False)
        for one in found
    ]
    await connection.copy_records_to_table("bare_findings", columns=COLUMNS, records=records)


async def _listing(world: World, ask: _Ask, connection: Any, user: UUID, say: Say) -> list[Line]:
    count = world.sizes.listed
    say(f"making {count:,} scans")
    await connection.execute(SCANS, user, count)
    await connection.execute("vacuum (analyze) scans")
    lines = []
    database = Database(world.url)
    try:
        for by in queries.scans.ORDERS:
            deep = await _cursor(database, user, by, count // 4 // PAGE * PAGE)
            pages: dict[str, Callable[[], Awaitable[float]]] = {
                name: partial(once_per_second, partial(ask, LIST, {"by": by, "after": after}))
                for name, after in (("first", None), ("deep", deep))
            }
            contestants = [Contestant(name, partial(_several, turn)) for name, turn in pages.items()]
            figures = await compare(contestants, world.sizes.rounds, lambda what: say(f"list by {what}"))
            times = {name: [1_000 / figure for figure in of] for name, of in figures.items()}
            name = f"time of page {count // 4 // PAGE:,} of {count:,} scans by {by} / of the first page"
            lines.append(Standing(times["deep"], times["first"]).line(name, "ms", "at most 1.3"))
    finally:
        await database.close()
    return lines


async def _several(turn: Callable[[], Awaitable[float]]) -> float:
    """The best of a few: a page takes milliseconds, which anything else on the machine doubles."""
    return max([await turn() for _ in range(20)])


async def _cursor(database: Database, user: UUID, by: str, place: int) -> str:
    """Where the page after so many scans begins."""
    order = order_of(queries.scans.SCANS_OF_USER[by, True])
    rows = await database.rows(order.window([user], Window(place)))
    return order.cursor(rows[place - 1])
