"""The ledger beside a bare counter: spends per second, on one account and over many."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Any
from uuid import UUID, uuid4

import clock
import domain
from benchmarks.comparing import Contestant, Job, Line, Say, Standing, compare, per_second
from benchmarks.world import Client, World, actor, application
from db.models import new_id
from db.session import Database
from domain.plans import Plans, load

FEATURE = "aiMessages"
PLENTY = 10**12
PEOPLE = 64

# The ledger's own counter has the same key and leaves as much room for updates in place.
BARE_TABLE = """
create table bare_counters (
    user_id uuid, feature text, period date, used bigint not null, primary key (user_id, feature, period)
) with (fillfactor = 50)
"""
BARE = """
update bare_counters set used = used + 1
where user_id = $1 and feature = $2 and period = $3 and used < $4 returning used
"""
LEDGER = """
insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at)
values ($5, 'spend', $1, $2, $3, 1, $4, $6) returning balance
"""
CREATE = "mutation($input: CreatePortfolioInput!) { createPortfolio(input: $input) { __typename } }"


async def spending(world: World, say: Say) -> list[Line]:
    """The statement, the rule in a transaction of its own, and a mutation that spends."""
    users = await world.accounts(world.sizes.accounts)
    async with world.connections(1) as [connection]:
        await connection.execute(BARE_TABLE)
        rows = [(user, FEATURE, clock.now().date().replace(day=1), 0) for user in users]
        await connection.copy_records_to_table("bare_counters", records=rows)
    lines = []
    for connections in world.sizes.connections:
        for name, accounts in (("one account", users[:1]), (f"{len(users):,} accounts", users)):
            place = f"{name}, {connections} connections"
            lines += await _spends(world, accounts, connections, place, say)
    return lines + await _mutations(world, users, say)


async def _spends(world: World, users: Sequence[UUID], connections: int, place: str, say: Say) -> list[Line]:
    plans, turns = load(None), cycle(users)
    async with world.connections(connections) as plain, world.databases(connections) as databases:
        contestants = [
            _contestant("UPDATE", [partial(_bare, one, turns) for one in plain], world),
            _contestant("ledger", [partial(_ledger, one, turns) for one in plain], world),
            _contestant("spend", [partial(_spend, one, plans, turns) for one in databases], world),
        ]
        figures = await compare(contestants, world.sizes.rounds, lambda what: say(f"{place}: {what}"))
    ledger = Standing(figures["ledger"], figures["UPDATE"])
    spend = Standing(figures["spend"], figures["UPDATE"])
    return [
        ledger.line(f"INSERT into the ledger / bare UPDATE: {place}", "per second", "0.5 or more"),
        spend.line(f"domain.usage.spend in a transaction / bare UPDATE: {place}", "per second"),
    ]


async def _mutations(world: World, users: Sequence[UUID], say: Say) -> list[Line]:
    connections = world.sizes.connections[0]
    async with application(world) as client, world.connections(connections) as plain:
        people = [client.person(f"user_bench{number}") for number in range(min(PEOPLE, len(users)))]
        for person in people:
            await client.ask(person, "{ me { id } }")
        async with world.connections(1) as [connection]:
            await connection.execute("update users set tier = 'enterprise'")
        turns, callers = cycle(users), cycle(people)
        jobs = [partial(_bare, one, turns) for one in plain]
        contestants = [
            _contestant("UPDATE", jobs, world),
            _contestant("mutation", [partial(_create, client, callers, keyed=False)] * connections, world),
            _contestant("with a key", [partial(_create, client, callers, keyed=True)] * connections, world),
        ]
        figures = await compare(contestants, world.sizes.rounds, lambda what: say(f"createPortfolio: {what}"))
    place = f"many accounts, {connections} at once"
    return [
        Standing(figures["mutation"], figures["UPDATE"]).line(f"createPortfolio / bare UPDATE: {place}", "per second"),
        Standing(figures["with a key"], figures["mutation"]).line(
            f"createPortfolio with an idempotency key / without: {place}", "per second"
        ),
    ]


def _contestant(name: str, jobs: Sequence[Job], world: World) -> Contestant:
    return Contestant(name, partial(per_second, jobs, world.sizes.seconds))


async def _bare(connection: Any, users: Iterator[UUID]) -> None:
    period = clock.now().date().replace(day=1)
    assert await connection.fetchval(BARE, next(users), FEATURE, period, PLENTY)


async def _ledger(connection: Any, users: Iterator[UUID]) -> None:
    now = clock.now()
    period = now.date().replace(day=1)
    assert await connection.fetchval(LEDGER, next(users), FEATURE, period, PLENTY, new_id(), now)


async def _spend(database: Database, plans: Plans, users: Iterator[UUID]) -> None:
    async with database.transaction() as session:
        await domain.usage.spend(session, plans, actor(next(users)), FEATURE, new_id())


async def _create(client: Client, people: Iterator[bytes], *, keyed: bool) -> None:
    given = {"name": "Benchmark", "idempotencyKey": str(uuid4()) if keyed else None}
    await client.ask(next(people), CREATE, {"input": given})
