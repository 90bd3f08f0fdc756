"""Prepared reads: their parameters, their rows, connections that were cut, and that they leave no state behind."""

import asyncio
import gc
import re
import uuid
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Select, func, literal_column, select

from db.models import Scan, User
from db.session import Database, Read
from db.statements import Prepared, among, given
from errors import ServiceUnavailable
from tests.people import People
from tests.scanning import told

BACKEND = Prepared(select(literal_column("pg_backend_pid()").label("pid")))
BY_ID = Prepared(select(User.id, User.username, User.created_at).where(User.id == given("user_id")))


async def test_rows_look_like_those_of_sqlalchemy(make: People, database: Database) -> None:
    person = await make.person()
    read = BY_ID(user_id=person.user_id)
    [ours] = await database.rows(read)
    [theirs] = await database.rows(read.select)
    assert tuple(ours) == tuple(theirs)
    assert ours._asdict() == dict(theirs._asdict())
    assert (ours.id, ours.username) == (person.user_id, theirs.username)
    assert await database.value(read) == person.user_id
    assert await database.rows(BY_ID(user_id=uuid.uuid4())) == []


async def test_json_comes_as_what_it_holds(make: People, database: Database, gql: Any) -> None:
    person = await make.person()
    await told(gql, person, metadata={"a": [1, None, "ü"]})
    read = Prepared(select(Scan.details).where(Scan.user_id == given("user_id")))
    assert await database.value(read(user_id=person.user_id)) == {"a": [1, None, "ü"]}


def test_a_parameter_without_a_value_is_a_fault() -> None:
    with pytest.raises(KeyError, match="user_id"):
        BY_ID().arguments()


async def test_several_ids_are_one_parameter(make: People, database: Database) -> None:
    people = [await make.person() for _ in range(3)]
    several = Prepared(select(User.id).where(User.id == among("ids")))
    for count in (0, 1, 3):
        wanted = [person.user_id for person in people[:count]]
        assert {row.id for row in await database.rows(several(ids=wanted))} == set(wanted)


async def test_connections_that_were_cut_are_replaced_unseen(database_url: str, postgres: str) -> None:
    database = Database(database_url)
    admin = await asyncpg.connect(postgres)
    pids = {row.pid for rows in await asyncio.gather(*(database.rows(BACKEND()) for _ in range(8))) for row in rows}
    for pid in pids:
        # With a time to wait, Postgres says when it is gone.
        assert await admin.fetchval("select pg_terminate_backend($1, 5000)", pid)
    assert await database.value(BACKEND()) not in pids
    await database.close()
    await admin.close()


async def test_what_takes_too_long_is_unavailable(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.session.STATEMENT_TIMEOUT_MS", 100)
    database = Database(database_url)
    slow: Read = select(func.pg_sleep(5))
    with pytest.raises(ServiceUnavailable):
        await database.rows(Prepared(slow)())
    await database.close()


async def test_a_full_pool_makes_nobody_wait_for_ever(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.reads.POOL_SIZE", 1)
    monkeypatch.setattr("db.reads.POOL_WAIT_SECONDS", 0.1)
    database = Database(database_url)
    await database.rows(BACKEND())
    pool: Any = database._prepared
    taken = await pool._pool.take()
    with pytest.raises(ServiceUnavailable):
        await database.rows(BACKEND())
    pool._pool.give(taken)
    assert await database.rows(BACKEND())
    await database.close()


async def test_a_connection_that_is_not_admitted_takes_those_before_it_along(database_url: str) -> None:
    admitted: list[int] = []

    async def admit(connection: asyncpg.Connection) -> None:
        admitted.append(connection.get_server_pid())
        if len(admitted) == 3:
            raise ServiceUnavailable("Another server.")

    database = Database(database_url, admit=admit)
    slow = Prepared(select(literal_column("pg_backend_pid()"), func.pg_sleep(0.3)))
    idle, used = asyncio.create_task(database.value(BACKEND())), asyncio.create_task(database.value(slow()))
    assert {await idle, *admitted} == set(admitted)
    taken = asyncio.create_task(database.value(slow()))
    await asyncio.sleep(0.05)
    with pytest.raises(ServiceUnavailable):
        await database.value(BACKEND())
    before = {await used, await taken}
    assert before == set(admitted[:2])
    assert await database.value(BACKEND()) not in before
    await database.close()


def test_nothing_prepared_changes_the_state_of_its_session() -> None:
    """For this, connections go from one user to the next without a reset (asyncpg's takes a round trip)."""
    gc.unfreeze()  # a command that ran in this process has put aside what there was
    statements = [one for one in gc.get_objects() if isinstance(one, Prepared)]
    assert len(statements) > 10
    for one in statements:
        sql = one.sql
        assert sql.startswith(("SELECT", "WITH spent") if isinstance(one.statement, Select) else "INSERT")
        assert not re.search(r"(?i)set_config|advisory|pg_notify|listen|nextval|for update|for share|temp", sql), sql


async def test_the_state_of_a_session_is_what_it_began_with(database: Database) -> None:
    state = Prepared(
        select(
            literal_column("(select json_agg(s order by s.name) from pg_settings s where source = 'session')").label(
                "s"
            ),
            literal_column(
                "(select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())"
            ).label("locks"),
        )
    )
    found = await asyncio.gather(*(database.rows(state()) for _ in range(12)))
    names = {one["name"] for rows in found for row in rows for one in row.s or ()}
    # asyncpg turns the compiler off while it asks for types, and puts it back.
    assert names <= {"role", "jit"}
    assert {row.locks for rows in found for row in rows} == {0}
