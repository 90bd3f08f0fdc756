"""Every mutation of the schema, killed wherever it awaits: retried under the same key it is done once, as at first."""

import gc
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text

from db.models import Base, Counter, IdempotencyRecord, LedgerEntry
from db.session import Database
from schema import ids
from settings import Settings
from tests.faults import Attempt, Fault, Saboteur
from tests.gql import Gql
from tests.people import People
from tests.resolvers.mutation_cases import CASES, MUTATIONS, Rows, Stage, document
from tests.test_commands import free_port

ROOT = Path(__file__).resolve().parents[2]
Tables = dict[str, tuple[int, str]]
pytestmark = pytest.mark.usefixtures("nobody_answers")


@pytest.fixture
def stage(gql: Gql, make: People, rows: Rows, database: Database) -> Stage:
    return Stage(gql, make, rows, database)


def test_every_mutation_is_attacked() -> None:
    assert set(CASES) == set(MUTATIONS), "Each mutation of the schema needs its case here."


@pytest.fixture
async def saboteur(database: Database, postgres: str) -> AsyncIterator[Saboteur]:
    admin = await asyncpg.connect(postgres)
    # What was cancelled before it began is warned of when it is collected: that is to happen at the end of this test,
    # where it is expected, and not at any moment or in somebody else's. What was there before is left alone.
    gc.freeze()
    gc.disable()
    with Saboteur(database, admin).installed() as ready:
        yield ready
    await admin.close()
    gc.enable()
    gc.collect()
    gc.unfreeze()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("name", MUTATIONS)
async def test_killed_at_any_point_and_retried_it_is_done_once(
    name: str, fault: Fault, stage: Stage, saboteur: Saboteur
) -> None:
    trial = Trial(name, stage)
    undone, unheard = 0, 0
    if name not in UNDISTURBED:
        await trial.begin()
        assert not (await trial.request()).errors
        UNDISTURBED[name] = trial.added(await tables(stage.database))
    await trial.begin()
    attempt = Attempt(fault, 0)
    for point in itertools.count(1):
        # Under the key of the attempts that were killed before: each is the retry of those.
        attempt = await saboteur.attempt(trial.request(), fault, point)
        if not attempt.hit:
            break
        if await tables(stage.database) == trial.before:
            undone += 1
            continue
        # Done, although the caller did not hear of it.
        unheard += 1
        await trial.check_retries(attempt)
        await trial.begin()
    await trial.check_retries(attempt)
    # Whoever has to connect anew suspends more often, so the points behind the commit may have been passed over: they
    # are the last ones of an attempt that was left alone.
    for point in range(attempt.reached, 0, -1):
        if unheard:
            break
        await trial.begin()
        attempt = await saboteur.attempt(trial.request(), fault, point)
        if attempt.hit and await tables(stage.database) != trial.before:
            unheard += 1
            await trial.check_retries(attempt)
    # Else the hooks have come loose: at the least claim, look-up, effect and commit, and the commit's reply.
    assert undone >= 4
    assert unheard >= 1


@pytest.mark.parametrize("name", ["createPortfolio"])
async def test_killed_with_its_process_it_is_answered_by_another(name: str, stage: Stage, settings: Settings) -> None:
    trial = Trial(name, stage)
    await trial.begin()
    with serving("tests.dying_server", settings) as (server, process):
        with pytest.raises(httpx.TransportError):
            await trial.ask(server)
        assert process.wait(10) == -signal.SIGKILL
    after = await tables(stage.database)
    assert after != trial.before
    with serving("cli", settings, "serve") as (server, _):
        answer = await trial.ask(server)
    assert "errors" not in answer
    assert await tables(stage.database) == after
    record = await trial.check_retries()
    assert ids_in(record.outcome) & ids_in(answer)


@contextmanager
def serving(module: str, settings: Settings, *arguments: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A process of its own that serves what the application of the tests does, and its address."""
    secrets = ("database_url", "api_key_encryption_key", "clerk_webhook_secret", "beta_invite_code")
    environment = {name.upper(): getattr(settings, name).get_secret_value() for name in secrets}
    environment |= {"PATH": os.environ["PATH"], "ENVIRONMENT": "test", "DEV_ISSUER_ENABLED": "true"}
    environment |= {"GATEHOUSE_HOME": str(settings.gatehouse_home), "LOG_LEVEL": "error"}
    port = free_port()
    command = [sys.executable, "-m", module, *arguments, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 20
        while not _listens(port):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        yield address, process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Trial:
    """One caller at a time, who sends one input under one key until it is done."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name, self.case, self.stage = name, CASES[name], stage

    async def begin(self) -> None:
        """Another caller, ready to send what was never done."""
        self.person, given = await self.case.prepare(self.stage)
        self.input = {**given, "idempotencyKey": "k"}
        self.before = await tables(self.stage.database)

    def request(self, depth: int = 0) -> Any:
        return self.stage.gql(self.person, document(self.name, depth), input=self.input)

    async def ask(self, address: str) -> Any:
        """The same request, of another process."""
        body = {"query": document(self.name, 0), "variables": {"input": self.input}}
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=20) as client:
            return (await client.post(f"{address}/graphql", json=body, headers=self.person.headers)).json()

    def added(self, now: Tables) -> dict[str, int]:
        """How many rows more each table has than in the beginning."""
        return {name: now[name][0] - before for name, (before, _) in self.before.items() if now[name][0] != before}

    async def check_retries(self, attempt: Attempt | None = None) -> IdempotencyRecord:
        """The first outcome under any selection, one effect, one charge, and nothing more with each retry."""
        where = f"killed at {attempt.point} of {attempt.reached}" if attempt else "killed"
        after = await tables(self.stage.database)
        assert self.added(after) == UNDISTURBED.get(self.name, self.added(after)), where
        first, other = [await self.request(depth) for depth in (0, 1)]
        assert (first.errors, other.errors) == ([], []), where
        assert first.data == within(first.data, other.data), where
        if attempt and attempt.answer and not attempt.answer.errors:
            assert attempt.answer.data == first.data, where
        assert await tables(self.stage.database) == after, where
        mine = IdempotencyRecord.user_id == self.person.user_id, IdempotencyRecord.key == "k"
        record: IdempotencyRecord
        (record,) = await self.stage.rows(IdempotencyRecord, *mine)
        assert ids_in(record.outcome) <= {str(self.person.user_id), *ids_in(other.data)}, where
        assert await self.case.effect(self.stage, self.person) == self.case.once, where
        assert await self._used() == self.case.used, where
        return record

    async def _used(self) -> dict[str, int]:
        """What the caller was charged: counters, which the ledger adds up to."""
        counters = await self.stage.rows(Counter, Counter.user_id == self.person.user_id)
        entries = await self.stage.rows(LedgerEntry, LedgerEntry.user_id == self.person.user_id)
        used = {counter.feature: counter.used for counter in counters}
        assert used == {name: sum(entry.amount for entry in entries if entry.feature == name) for name in used}
        return used


UNDISTURBED: dict[str, dict[str, int]] = {}
"""The rows that each mutation adds where nobody is killed."""


async def tables(database: Database) -> Tables:
    """Of each table its number of rows and a fingerprint of them, as `tests.refusals.stored`, in one statement."""
    row = "md5((to_jsonb(t) - 'last_used_at')::text) as row"
    prints = "count(*), coalesce(md5(string_agg(row, '' order by row)), '')"
    each = [f"select '{name}', {prints} from (select {row} from {name} t) rows" for name in Base.metadata.tables]
    async with database.transaction() as session:
        found = await session.execute(text(" union all ".join(each)))
        return {name: (count, print_) for name, count, print_ in found}


def within(part: Any, whole: Any) -> Any:
    """Of `whole`, what `part` has selected."""
    if isinstance(part, dict):
        return {name: within(value, whole[name]) for name, value in part.items()}
    if isinstance(part, list):
        return [within(*pair) for pair in zip(part, whole, strict=True)]
    return whole


def ids_in(answer: Any) -> set[str]:
    """Every id in it, global or not, as UUIDs."""
    if isinstance(answer, dict):
        return set().union(*(ids_in(value) for value in answer.values()))
    if isinstance(answer, list):
        return set().union(*map(ids_in, answer))
    found = ids.decode(answer) if isinstance(answer, str) else None
    return {str(found[1])} if found else {answer} if isinstance(answer, str) and answer.count("-") == 4 else set()
