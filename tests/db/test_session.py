"""What failures of Postgres mean to callers, how long anything waits, and that our own faults stay our own."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from sqlalchemy import literal_column, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from db import session as db_session
from db.models import User
from db.session import Database, Read
from db.statements import Prepared
from errors import ServiceUnavailable
from tests.conftest import on

ONE: Read = select(literal_column("1"))


def slow(seconds: float) -> Read:
    return select(text(f"pg_sleep({seconds})"))


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, **options)
    try:
        yield database
    finally:
        await database.close()


async def open_transaction(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(ONE)


async def revision(database: Database) -> None:
    await database.revision()


async def read(database: Database) -> None:
    assert await database.rows(ONE)


_FIELDS = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
STARTING = b"E" + (len(_FIELDS) + 4).to_bytes(4) + _FIELDS
WAYS = [read, open_transaction, revision]


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_listens(way: Callable[[Database], Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with opened(f"postgresql://u@127.0.0.1:{taken.getsockname()[1]}/d?sslmode=disable") as database:
            with pytest.raises(ServiceUnavailable):
                await way(database)


@pytest.mark.parametrize("host", ["/nowhere", "nowhere.invalid"])
async def test_there_is_no_such_place(host: str) -> None:
    async with opened(f"postgresql://u@/d?host={quote(host, safe='')}") as database:
        with pytest.raises(ServiceUnavailable):
            await read(database)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("says", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", STARTING])
async def test_what_answers_is_no_postgres_or_does_not_answer(
    says: bytes | None, way: Callable[[Database], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_session, "CONNECT_SECONDS", 0.2)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says is None:
            await asyncio.sleep(0.4)
        else:
            writer.write(says)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"postgresql://u@127.0.0.1:{port}/d?sslmode=disable") as database:
            with pytest.raises(ServiceUnavailable):
                await way(database)


@pytest.mark.parametrize("way", WAYS)
async def test_the_database_does_not_exist(way: Callable[[Database], Any], postgres: str) -> None:
    async with opened(on(postgres, f"nowhere_{uuid.uuid4().hex}")) as database:
        with pytest.raises(ServiceUnavailable):
            await way(database)


async def test_postgres_takes_no_more_connections(postgres: str, scratch_url: str) -> None:
    role = f"limited_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"create role {role} login connection limit 1")
    try:
        parts = urlsplit(scratch_url)
        url = parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()
        async with opened(url) as database, database.transaction() as session:
            await session.execute(ONE)
            with pytest.raises(ServiceUnavailable):
                await read(database)
    finally:
        await connection.execute(f"drop role {role}")
        await connection.close()


@pytest.mark.parametrize("pooled_by_others", [False, True])
async def test_a_statement_takes_too_long(
    pooled_by_others: bool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_session, "STATEMENT_TIMEOUT_MS", 100)
    async with opened(database_url, pooled_by_others=pooled_by_others) as database:
        with pytest.raises(ServiceUnavailable):
            async with database.transaction() as session:
                await session.execute(slow(5))
        await read(database)


async def test_a_read_takes_too_long(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_session, "STATEMENT_TIMEOUT_MS", 100)
    async with opened(database_url) as database:
        with pytest.raises(ServiceUnavailable):
            await database.rows(slow(5))
        await read(database)


async def test_a_lock_takes_too_long(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_session, "LOCK_TIMEOUT_MS", 50)
    lock = select(text("pg_advisory_xact_lock(42)"))
    async with opened(database_url) as database, database.transaction() as session:
        await session.execute(lock)
        with pytest.raises(ServiceUnavailable):
            async with database.transaction() as other:
                await other.execute(lock)
        await session.execute(ONE)


async def test_the_pool_is_bounded_and_so_is_the_wait(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"POOL_SIZE": 2, "POOL_WAIT_SECONDS": 0.5}.items():
        monkeypatch.setattr(db_session, name, value)
    async with opened(database_url) as database:
        async with database.transaction() as one, database.transaction() as two:
            await one.execute(ONE)
            await two.execute(ONE)
            with pytest.raises(ServiceUnavailable):
                await read(database)
            with pytest.raises(ServiceUnavailable):
                await open_transaction(database)
        await asyncio.gather(*(read(database) for _ in range(20)))


async def cut(url: str, pid: int) -> None:
    """End a connection from outside; the role of the application may not."""
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("select pg_terminate_backend($1, 1000)", pid)
    await connection.close()


async def test_a_connection_is_cut_while_it_works(database_url: str) -> None:
    async with opened(database_url) as database:

        async def work() -> None:
            async with database.transaction() as session:
                pid = (await session.execute(select(text("pg_backend_pid()")))).scalar_one()
                await asyncio.gather(session.execute(slow(5)), cut(database_url, pid))

        with pytest.raises(ServiceUnavailable):
            await work()
        await read(database)


async def test_a_connection_is_cut_between_two_statements(database_url: str) -> None:
    async with opened(database_url) as database:

        async def work() -> None:
            async with database.transaction() as session:
                pid = (await session.execute(select(text("pg_backend_pid()")))).scalar_one()
                await cut(database_url, pid)
                await session.execute(ONE)

        with pytest.raises(ServiceUnavailable):
            await work()
        await read(database)


async def test_a_transaction_that_idles_too_long(database_url: str) -> None:
    async with opened(database_url) as database:

        async def work() -> None:
            async with database.transaction() as session:
                await session.execute(text("set local idle_in_transaction_session_timeout = 20"))
                await asyncio.sleep(0.1)
                await session.execute(ONE)

        with pytest.raises(ServiceUnavailable):
            await work()
        await read(database)


async def test_of_two_that_wait_for_each_other_one_may_try_again(database: Database) -> None:
    both = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with database.transaction() as session:
            await session.execute(select(text(f"pg_advisory_xact_lock({first})")))
            await both.wait()
            await session.execute(select(text(f"pg_advisory_xact_lock({second})")))

    outcomes = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(None), ServiceUnavailable}


async def test_idle_connections_that_were_cut_are_replaced_unseen(database_url: str) -> None:
    async with opened(database_url) as database:
        row = await database.row(select(text("pg_backend_pid() as pid")))
        assert row
        await cut(database_url, row.pid)
        again = await database.row(select(text("pg_backend_pid() as pid")))
        assert again
        assert again.pid != row.pid


async def test_our_own_faults_stay_ours(database: Database) -> None:
    with pytest.raises(ProgrammingError):
        await database.rows(select(text("no_such_column")))
    with pytest.raises(DBAPIError):
        await database.rows(select(text("1/0")))
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            raise ZeroDivisionError


async def test_a_transaction_is_whole_or_nothing(scratch_url: str) -> None:
    async with opened(scratch_url) as database:
        async with database.transaction() as session:
            await session.execute(text("create table kept (n int)"))

        async def work() -> None:
            async with database.transaction() as session:
                await session.execute(text("insert into kept values (1)"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await work()
        assert await database.rows(select(text("n from kept"))) == []


async def test_a_cancelled_transaction_leaves_nothing_and_gives_its_connection_back(scratch_url: str) -> None:
    async with opened(scratch_url) as database:
        async with database.transaction() as session:
            await session.execute(text("create table kept (n int)"))
        begun = asyncio.Event()

        async def work() -> None:
            async with database.transaction() as session:
                await session.execute(text("insert into kept values (1)"))
                begun.set()
                await session.execute(slow(60))

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await database.rows(select(text("n from kept"))) == []
        transactions: Any = database._transactions
        assert transactions._pool.taken == 0


async def test_a_full_pool_is_waited_for_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"POOL_SIZE": 1, "POOL_WAIT_SECONDS": 1.0}.items():
        monkeypatch.setattr(db_session, name, value)
    async with opened(database_url) as database, database.transaction():
        began = asyncio.get_running_loop().time()
        with pytest.raises(ServiceUnavailable):
            await open_transaction(database)
        assert asyncio.get_running_loop().time() - began < 1.9


async def test_what_had_failed_is_not_said_to_be_committed(database: Database) -> None:
    async def hush_up() -> None:
        async with database.transaction() as session:
            with contextlib.suppress(DBAPIError):
                await session.execute(text("select 1/0"))

    with pytest.raises(RuntimeError, match="nothing of it was committed"):
        await hush_up()
    await read(database)


@pytest.mark.parametrize("alone", [False, True])
async def test_nobody_gets_a_connection_on_which_something_is_still_being_cancelled(
    alone: bool, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.reads.POOL_SIZE", 2)
    monkeypatch.setattr(db_session, "POOL_SIZE", 2)
    pid: Any = literal_column("pg_backend_pid()").label("pid")
    quick, lasting = Prepared(select(pid)), Prepared(select(pid, literal_column("pg_sleep(0.2)").label("slept")))
    async with opened(database_url) as database:

        async def ask(statement: Prepared) -> int:
            if not alone:
                return int(await database.value(statement()))
            async with database.transaction(alone=True) as session:
                return int(await session.value(statement()))

        both = {*await asyncio.gather(ask(lasting), ask(lasting))}
        assert len(both) == 2
        leaving = asyncio.create_task(ask(lasting))
        await asyncio.sleep(0.05)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await ask(quick) in both
        # It is not lost: two at once have both again.
        assert {*await asyncio.gather(ask(lasting), ask(lasting))} == both


async def test_reads_are_outside_of_transactions(database: Database) -> None:
    rows = [await database.row(select(text("pg_current_xact_id_if_assigned() as id, now() as at"))) for _ in range(2)]
    first, second = rows
    assert first
    assert second
    assert first.at < second.at


async def test_times_are_utc_and_waits_are_bounded(database: Database) -> None:
    names = ("timezone", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
    async with database.transaction() as session:
        shown = {name: (await session.execute(text(f"show {name}"))).scalar_one() for name in names}
    assert shown == {
        "timezone": "UTC",
        "statement_timeout": "15s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
        "application_name": "gatehouse",
    }


async def test_behind_a_pooler_each_transaction_brings_its_own_bounds(database_url: str) -> None:
    async with opened(database_url, pooled_by_others=True) as database:
        async with database.transaction() as session:
            assert (await session.execute(text("show statement_timeout"))).scalar_one() == "15s"
            assert (await session.execute(text("select name from pg_prepared_statements"))).all() == []
        row = await database.row(select(text("current_setting('statement_timeout') as bound")))
        assert row
        assert row.bound == "15s"
        async with database._engine.connect() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection
            assert await raw.driver_connection.fetchval("show statement_timeout") == "0"


async def test_an_error_does_not_carry_the_values(database: Database) -> None:
    with pytest.raises(IntegrityError) as raised:
        async with database.transaction() as session:
            session.add(User(email="topsecret@example.test", username="x"))
    assert "topsecret" not in str(raised.value).split("DETAIL")[0]
