"""What an account has used, beside counting it: the time in Postgres for an account with a ledger of a million rows."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import clock
from benchmarks.comparing import Contestant, Line, Say, Standing, compare
from benchmarks.world import World
from db import queries

FEATURE = "scans"
DAYS = 1_000

# Straight into the tables, since a million triggers take a minute; what the triggers add up is added up here.
LEDGER = """
insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, balance, created_at)
select gen_random_uuid(), 'spend', $1, $2, date_trunc('month', moment at time zone 'UTC')::date, 1,
    9223372036854775807, number, moment
from (select number, $3::timestamptz - ((number % $4) * interval '1 day') as moment
    from generate_series(1, $5::bigint) as number) as made
"""
COUNTERS = """
insert into counters (user_id, feature, period, used)
select user_id, feature, period, count(*) from ledger where user_id = $1 group by 1, 2, 3
"""
USAGE_DAYS = """
insert into usage_days (user_id, feature, day, count)
select user_id, feature, (created_at at time zone 'UTC')::date, count(*) from ledger where user_id = $1 group by 1, 2, 3
"""
COUNT = "select count(*) from ledger where user_id = $1 and feature = $2"


async def usage(world: World, say: Say) -> list[Line]:
    """Execution times as Postgres itself takes them."""
    count = world.sizes.scans
    [user] = await world.accounts(1)
    async with world.connections(1) as [connection]:
        say(f"making a ledger of {count:,} rows")
        await _fill(connection, user, count)
        today = clock.now().date()
        overview = queries.usage.overview(user, today, today.replace(day=1))
        history = queries.usage.history(user, today - timedelta(days=365))
        contestants = [
            _timed("count", connection, COUNT, [user, FEATURE]),
            _timed("overview", connection, overview.prepared.sql, overview.arguments()),
            _timed("history", connection, history.prepared.sql, history.arguments()),
        ]
        times = await compare(contestants, world.sizes.rounds, lambda what: say(f"usage: {what}"))
    return [
        Standing(times[name], times["count"]).line(
            f"microseconds in Postgres for {words} / counting {count:,} rows", "µs", "below 5,000 µs"
        )
        for name, words in (("overview", "the overview of usage"), ("history", "a year's history"))
    ]


async def _fill(connection: Any, user: UUID, count: int) -> None:
    async with connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(LEDGER, user, FEATURE, clock.now(), DAYS, count)
        await connection.execute(COUNTERS, user)
        await connection.execute(USAGE_DAYS, user)
    await connection.execute("vacuum (analyze) ledger, counters, usage_days")


def _timed(name: str, connection: Any, statement: str, values: list[Any]) -> Contestant:
    async def turn() -> float:
        [plan] = json.loads(await connection.fetchval(f"explain (analyze, format json) {statement}", *values))
        return float(plan["Execution Time"]) * 1_000

    return Contestant(name, turn)
