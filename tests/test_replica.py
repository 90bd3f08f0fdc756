"""Reads from a replica, on a real one: whose they are, what of one's own writes is seen, and what when it fails."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import func, literal_column, select
from structlog.testing import capture_logs

from app import create_app
from auth.local_issuer import LocalIssuer
from db import replica as replicas
from db.replica import Replica
from db.session import Database, Read
from db.statements import Prepared
from errors import ServiceUnavailable
from settings import Settings
from tests.conftest import on
from tests.gql import Asker, Gql
from tests.people import People
from tests.replication import Pair, run

pytestmark = pytest.mark.xdist_group("replica")

CREATE = "mutation($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { id name } } }"
REVOKE = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { apiKey { revokedAt } } }"
NAMES = "{ portfolios { edges { node { name } } } }"
USAGE = "{ usage { portfolios { used } } }"
PLACE: Read = select(func.pg_is_in_recovery().label("follows"))
WHERE = Prepared(PLACE)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="gh-"))
    folder.chmod(0o755)
    servers = Pair(folder)
    yield servers
    servers.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _hurried() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicas, "LOOK_SECONDS", 0.1)
        yield


@dataclass
class Worker:
    """An application of its own, as another process would be."""

    gql: Gql
    make: People
    database: Database
    replica: Replica

    async def names(self, who: Asker) -> set[str]:
        """The portfolios that somebody sees."""
        answer = await self.gql(who, NAMES)
        assert not answer.errors, answer.errors
        return {edge["node"]["name"] for edge in answer.data["portfolios"]["edges"]}

    async def create(self, who: Asker, name: str) -> None:
        answer = await self.gql(who, CREATE, input={"name": name})
        assert answer.data["createPortfolio"]["portfolio"]["name"] == name

    async def is_used(self) -> None:
        """Wait until the replica shows all that was written so far."""
        number = await self.database.row(
            select(literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))
        )
        assert number is not None
        await until(lambda: self.replica.has(number[0] - 1))


async def until(found: Callable[[], bool | Awaitable[bool]]) -> None:
    for _ in range(500):
        result = found()
        if result if isinstance(result, bool) else await result:
            return
        await asyncio.sleep(0.02)
    pytest.fail("It did not come to that.")


@pytest.fixture(scope="module")
def served(settings: Settings, pair: Pair) -> Settings:
    urls = {"database_url": SecretStr(pair.url), "database_read_url": SecretStr(pair.read_url)}
    return settings.model_copy(update=urls)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[Worker]:
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://gatehouse.test") as client:
            gql, database = Gql(client), application.state.database
            make = People(gql, LocalIssuer(settings.gatehouse_home / "issuer"), database)
            yield Worker(gql, make, database, application.state.replica)


@pytest.fixture(scope="module")
async def one(served: Settings) -> AsyncIterator[Worker]:
    async with working(served) as worker:
        yield worker


@pytest.fixture(scope="module")
async def other(served: Settings) -> AsyncIterator[Worker]:
    async with working(served) as worker:
        yield worker


@asynccontextmanager
async def paused(pair: Pair, *workers: Worker) -> AsyncIterator[None]:
    """The replica stands still, and shows all that was written before."""
    for worker in workers:
        await worker.is_used()
    await run(pair.read_url, "select pg_wal_replay_pause()")
    await until(lambda: stands_still(pair))
    try:
        yield
    finally:
        await run(pair.read_url, "select pg_wal_replay_resume()")


async def stands_still(pair: Pair) -> bool:
    return await run(pair.read_url, "select pg_get_wal_replay_pause_state()") == "paused"


async def rename(pair: Pair, before: str, after: str) -> None:
    """A change that nobody noted: who reads it reads the primary."""
    await run(pair.url, f"update portfolios set name = '{after}' where name = '{before}'")


async def test_a_stranger_and_a_bad_key_are_refused(one: Worker) -> None:
    for who in (None, {"X-API-Key": "iq_" + "x" * 43}):
        assert (await one.gql(who, NAMES)).code == "UNAUTHENTICATED"


async def test_queries_read_the_replica(pair: Pair, one: Worker) -> None:
    person = await one.make.person()
    await one.create(person, "Old")
    key = await one.make.key(person, "account:read")
    async with paused(pair, one):
        await rename(pair, "Old", "New")
        for who in (person, key):
            for _ in range(3):  # as it comes, then compiled
                assert await one.names(who) == {"Old"}
    await one.is_used()
    await until(lambda: _sees(one, person, {"New"}))


async def _sees(worker: Worker, who: Asker, names: set[str]) -> bool:
    return await worker.names(who) == names


async def test_own_writes_are_seen_at_once_by_every_worker_and_credential(
    pair: Pair, one: Worker, other: Worker
) -> None:
    writer, reader = await one.make.person(), await one.make.person()
    key = await one.make.key(writer, "account:read")
    await one.create(reader, "Theirs")
    async with paused(pair, one, other):
        await rename(pair, "Theirs", "Changed")
        await one.create(writer, "Mine")
        for worker in (other, one):
            for who in (writer, key):
                for _ in range(3):
                    assert await worker.names(who) == {"Mine"}
                    assert (await worker.gql(who, USAGE)).data["usage"]["portfolios"]["used"] == 1
            assert await worker.names(reader) == {"Theirs"}
    await one.is_used()
    async with paused(pair, one, other):
        await rename(pair, "Mine", "Not seen")
        for worker in (one, other):
            assert await worker.names(writer) == {"Mine"}


async def test_what_is_neither_spent_nor_audited_is_seen_too(pair: Pair, one: Worker, other: Worker) -> None:
    person = await one.make.person()
    key = await one.make.key(person, "account:read")
    profile = "{ me { fullName } }"
    async with paused(pair, one, other):
        token = one.make.token(person.subject, full_name="Ada")
        assert not (await one.gql({"Authorization": f"Bearer {token}"}, profile)).errors
        assert (await other.gql(key, profile)).data["me"]["fullName"] == "Ada"
    update = "mutation($input: UpdateProfileInput!) { updateProfile(input: $input) { user { fullName } } }"
    async with paused(pair, one, other):
        assert not (await one.gql(person, update, input={"fullName": "Grace"})).errors
        assert (await other.gql(key, profile)).data["me"]["fullName"] == "Grace"


async def test_an_answer_of_the_chat_is_noted(pair: Pair, one: Worker) -> None:
    person = await one.make.person()
    send = "mutation($input: SendChatMessageInput!) { sendChatMessage(input: $input) { message { id } } }"
    assert not (await one.gql(person, send, input={"content": "Hello"})).errors
    by_answer = (
        "select w.transaction = m.xmin::text::bigint from account_writes w join chat_messages m using (user_id)"
        f" where user_id = '{person.user_id}' and role = 'ASSISTANT' and status = 'COMPLETE'"
    )

    async def noted() -> bool:
        return await run(pair.url, by_answer) is True

    await until(noted)


async def test_a_new_account_sees_its_key(pair: Pair, one: Worker, other: Worker) -> None:
    async with paused(pair, one, other):
        person = await one.make.person()
        for worker in (other, one):
            answer = await worker.gql(person, "{ me { apiKeys { name } } }")
            assert answer.data == {"me": {"apiKeys": [{"name": "Default"}]}}


async def test_a_revoked_key_and_a_ban_hold_at_once(pair: Pair, one: Worker, other: Worker) -> None:
    owner, banned = await one.make.person(), await one.make.person()
    key = await one.make.key(owner, "account:read")
    answer = await one.gql(key, "{ me { apiKeys { id name } } }")
    [key_id] = [found["id"] for found in answer.data["me"]["apiKeys"] if found["name"] == "test"]
    await one.create(owner, "Kept")
    async with paused(pair, one, other):
        assert await other.names(key) == {"Kept"}
        assert not (await one.gql(owner, REVOKE, input={"id": key_id})).errors
        await run(pair.url, f"update users set disabled_at = now() where id = '{banned.user_id}'")
        for worker in (one, other):
            assert (await worker.gql(key, NAMES)).code == "UNAUTHENTICATED"
            assert (await worker.gql(banned, NAMES)).code == "ACCOUNT_DISABLED"


async def test_a_write_counts_as_there_when_nothing_older_is_under_way(pair: Pair, one: Worker) -> None:
    person = await one.make.person()
    async with one.database.transaction() as session:
        await session.execute(select(func.pg_current_xact_id()))
        await one.create(person, "Mine")
        await asyncio.sleep(0.3)
        await rename(pair, "Mine", "Seen")
        assert await one.names(person) == {"Seen"}
    await one.is_used()


async def test_a_replica_that_goes_away_is_done_without_until_it_is_back(pair: Pair, one: Worker) -> None:
    person = await one.make.person()
    await one.create(person, "Before")
    await one.is_used()
    with capture_logs() as logs:
        await asyncio.to_thread(pair.stop_standby)
        try:
            for number in range(20):
                assert await one.names(person) == {"Before"}, number
                await asyncio.sleep(0.02)
            await one.create(person, "After")
            assert await one.names(person) == {"Before", "After"}
        finally:
            await asyncio.to_thread(pair.start_standby)
        await one.is_used()
        async with paused(pair, one):
            await rename(pair, "After", "Not seen")
            assert await one.names(person) == {"Before", "After"}
    ours = [entry for entry in logs if entry["log_level"] in ("info", "warning") and "replica" in entry["event"]]
    mine = [entry["event"] for entry in ours]
    assert sorted(mine) == ["replica.not_used"] * (len(mine) // 2) + ["replica.used"] * (len(mine) // 2)
    assert 1 <= len(mine) // 2 <= 2  # each worker of this module says it once
    assert not [entry for entry in logs if entry["event"].startswith("database.") and entry["log_level"] != "debug"]
    assert "host" not in str(ours)


async def test_a_server_that_was_restarted_is_looked_at_first(
    pair: Pair, one: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash it may stand before what it has shown."""
    await one.is_used()
    with monkeypatch.context() as patch:
        # Before the restart, or a look may find the server before the read does.
        patch.setattr(Replica, "_look", _never)
        await asyncio.to_thread(pair.stop_standby)
        await asyncio.to_thread(pair.start_standby)
        subject = one.replica
        subject._horizon = float("inf")
        [row] = await subject.rows(WHERE())
        assert (row.follows, subject.has(0)) == (False, False)
    await one.is_used()


async def test_a_server_that_shows_less_than_before_is_looked_at_first(pair: Pair, one: Worker) -> None:
    """As after the crash of one of its processes, which leaves the server the same."""
    subject = Replica(pair.read_url, one.database)
    subject._horizon = 2**40
    [row] = await subject.rows(WHERE())
    assert (row.follows, subject._horizon, subject._servers) == (False, 0, 1)
    [row] = await subject.rows(WHERE())
    assert row.follows
    await subject._standby.close()


async def test_what_was_asked_of_the_server_before_is_not_answered_by_the_one_after(pair: Pair, one: Worker) -> None:
    subject = Replica(pair.read_url, one.database)
    read = Prepared(select(func.pg_is_in_recovery().label("follows"), func.pg_sleep(0.2).label("slept")))
    [row] = await subject.rows(WHERE())
    assert row.follows
    waiting = [asyncio.create_task(subject.rows(read())) for _ in range(12)]
    await asyncio.sleep(0.1)
    subject._servers += 1
    assert [row.follows for rows in await asyncio.gather(*waiting) for row in rows] == [False] * 12
    [row] = await subject.rows(WHERE())
    assert row.follows
    await subject._standby.close()


async def _never(_replica: Replica) -> None:
    pass


async def test_one_too_far_behind_is_not_read(pair: Pair, one: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await one.make.person()
    await one.create(person, "Old")
    with capture_logs() as logs:
        async with paused(pair, one):
            monkeypatch.setattr(replicas, "MAX_BEHIND_SECONDS", 0.3)
            await rename(pair, "Old", "New")
            await until(lambda: _sees(one, person, {"New"}))
            await until(lambda: "replica.not_used" in {entry["event"] for entry in logs})
        await one.is_used()


async def test_one_that_is_not_looked_at_any_more_is_not_read(one: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    await one.is_used()
    monkeypatch.setattr(replicas, "MAX_BEHIND_SECONDS", 0.3)
    with monkeypatch.context() as patch:
        patch.setattr(Replica, "_look", _never)
        await until(lambda: not one.replica.has(0))
    await one.is_used()


async def test_an_idle_replica_is_not_behind(one: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    await one.is_used()
    monkeypatch.setattr(replicas, "MAX_BEHIND_SECONDS", 0.5)
    await asyncio.sleep(0.8)
    assert one.replica.has(0)


async def test_the_primary_itself_is_always_current(pair: Pair, served: Settings) -> None:
    same = served.model_copy(update={"database_read_url": SecretStr(pair.url)})
    async with working(same) as worker:
        await until(lambda: worker.replica.has(2**62))
        person = await worker.make.person()
        await worker.create(person, "Mine")
        assert await worker.names(person) == {"Mine"}


async def test_another_database_is_not_read(pair: Pair, served: Settings) -> None:
    with capture_logs() as logs:
        elsewhere = served.model_copy(update={"database_read_url": SecretStr(on(pair.read_url, "postgres"))})
        async with working(elsewhere) as worker:
            await until(lambda: bool([entry for entry in logs if entry["event"] == "replica.not_used"]))
            person = await worker.make.person()
            await worker.create(person, "Mine")
            assert await worker.names(person) == {"Mine"}
            assert not worker.replica.has(0)
    assert "another database" in str(logs)


async def test_behind_a_pooler_it_is_read_without_prepared_statements(pair: Pair, served: Settings) -> None:
    pooled = served.model_copy(update={"database_direct_url": SecretStr(pair.url)})
    async with working(pooled) as worker:
        person = await worker.make.person()
        await worker.create(person, "Old")
        async with paused(pair, worker):
            await rename(pair, "Old", "New")
            assert await worker.names(person) == {"Old"}
            await worker.create(person, "Mine")
            assert await worker.names(person) == {"New", "Mine"}


async def test_a_write_of_another_cluster_is_not_waited_for(pair: Pair, one: Worker) -> None:
    """As a dump brings it along."""
    person = await one.make.person()
    await one.create(person, "Old")
    await run(pair.url, f"update account_writes set transaction = {2**40} where user_id = '{person.user_id}'")
    async with paused(pair, one):
        await rename(pair, "Old", "New")
        assert await one.names(person) == {"Old"}


async def test_what_the_replica_refuses_the_primary_answers(one: Worker) -> None:
    await one.is_used()
    only_there: Read = select(literal_column("pg_current_wal_lsn()::text").label("at"))
    assert await one.replica.value(Prepared(only_there)())
    assert one.replica.has(0)
    assert await one.replica.value(WHERE()) is True


async def test_what_takes_too_long_is_not_asked_twice(pair: Pair, monkeypatch: pytest.MonkeyPatch, one: Worker) -> None:
    monkeypatch.setattr("db.session.STATEMENT_TIMEOUT_MS", 200)
    subject = Replica(pair.read_url, one.database)
    slow: Read = select(func.pg_sleep(5), func.pg_is_in_recovery())
    async with subject.running():
        await until(lambda: subject.has(0))
        with pytest.raises(ServiceUnavailable):
            await subject.rows(Prepared(slow)())
        assert subject.has(0)


async def test_writes_of_a_rolled_back_transaction_are_not_noted(pair: Pair, one: Worker) -> None:
    person = await one.make.person()
    noted = f"select transaction from account_writes where user_id = '{person.user_id}'"
    before = await run(pair.url, noted)
    assert before
    answer = await one.gql(person, CREATE, input={"name": " "})
    assert answer.code == "BAD_USER_INPUT"
    assert await run(pair.url, noted) == before


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"system": 2}, "another database"),
        ({"database": "other"}, "another database"),
        ({"follows": False}, "follows no primary"),
        ({"position": None}, "does not say"),
    ],
)
def test_a_server_that_is_no_replica_of_ours_is_told_apart(seen: dict[str, Any], words: str) -> None:
    primary = {"system": 1, "database": "app", "started": 1, "follows": False, "position": 10, "horizon": 5}
    here, there = SimpleNamespace(**primary), SimpleNamespace(**primary | {"started": 2, "follows": True} | seen)
    subject: Any = Replica("postgresql://u@h/d", Database("postgresql://u@h/d"))
    assert words in subject._judge(here, there, 0.0)
    assert not subject.has(0)


async def test_without_a_replica_nothing_is_noted_or_asked(
    gql: Gql, make: People, rows: Any, statements: list[str]
) -> None:
    person = await make.person()
    statements.clear()
    await gql(person, CREATE, input={"name": "Mine"})
    await gql(person, NAMES)
    assert statements
    assert not [sql for sql in statements if "account_writes" in sql or "snapshot" in sql]
