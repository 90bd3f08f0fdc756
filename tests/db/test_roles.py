"""The application's role: what it may not do, and what happens where it cannot be had."""

import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from sqlalchemy import select, text
from structlog.testing import capture_logs

from db import migrate
from db.roles import name_in
from db.session import Database


def role_in(url: str) -> str:
    return name_in(urlsplit(url).path[1:])


WHO = select(text("current_user as name"))


@pytest.fixture
async def owner_url(postgres: str) -> AsyncIterator[str]:
    """An empty database of a user who may do nothing but own it."""
    name = f"owner_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres)
    await connection.execute(f"create role {name} login")
    await connection.execute(f"create database {name} owner {name}")
    parts = urlsplit(postgres)
    yield urlunsplit(parts._replace(netloc=f"{name}@{parts.netloc.partition('@')[2]}", path=f"/{name}"))
    await connection.execute(f"drop database {name} with (force)")
    await connection.execute(f"drop role {name}")
    await connection.close()


async def role_of(url: str, *, pooled_by_others: bool = False) -> str:
    database = Database(url, pooled_by_others=pooled_by_others)
    try:
        row = await database.row(WHO)
        async with database.transaction() as session:
            assert row is not None
            assert (await session.execute(WHO)).scalar_one() == row.name
        return str(row.name)
    finally:
        await database.close()


async def test_reads_and_writes_work_as_a_role_that_owns_nothing(database_url: str) -> None:
    assert await role_of(database_url) == role_in(database_url)
    assert await role_of(database_url, pooled_by_others=True) == role_in(database_url)
    connection = await asyncpg.connect(database_url)
    owned = "select count(*) from pg_class where relowner = (select oid from pg_roles where rolname = $1)"
    assert await connection.fetchval(owned, role_in(database_url)) == 0
    await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "drop trigger only_grows on ledger",
        "alter table ledger disable trigger all",
        "drop table ledger",
        "create table mine (id int)",
        "alter role current_user superuser",
        "set session_replication_role = replica",
    ],
)
async def test_the_role_cannot_lift_the_guards(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"set role {role_in(database_url)}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_temporary_tables_do_not_stand_in_for_ours(database_url: str) -> None:
    """What runs as the owner of the tables looks where the tables are, whatever the caller has set up."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"set role {role_in(database_url)}")
    await connection.execute("create temporary table counters (user_id uuid, feature text, period date, used bigint)")
    await connection.execute("set search_path = pg_temp, public")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(
            "insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at)"
            " values (gen_random_uuid(), 'spend', gen_random_uuid(), 'f', '1970-01-01', 1, 1, '2026-01-01Z')"
        )
    await connection.close()


async def test_a_copy_of_another_database_takes_back_what_was_granted_there(
    database_url: str, scratch_url: str
) -> None:
    """As a restored dump brings it along: the rights of the other role, and the trigger's function for everybody."""
    await migrate.migrate(scratch_url)
    theirs = role_in(database_url)
    connection = await asyncpg.connect(scratch_url)
    await connection.execute(
        f"create sequence numbers; grant usage on sequence numbers to {theirs};"
        f"grant select, delete on users, ledger to {theirs}; grant update (email) on users to {theirs};"
        f"grant usage, create on schema public to {theirs};"
        f"grant execute on function move_counter() to public, {theirs}"
    )
    assert await connection.fetchval("select has_table_privilege($1, 'users', 'delete')", theirs)
    await migrate.migrate(scratch_url)
    for table in ("users", "ledger"):
        for right in ("select", "delete"):
            assert not await connection.fetchval("select has_table_privilege($1, $2, $3)", theirs, table, right)
    assert not await connection.fetchval("select has_any_column_privilege($1, 'users', 'update')", theirs)
    assert not await connection.fetchval("select has_sequence_privilege($1, 'numbers', 'usage')", theirs)
    assert not await connection.fetchval("select has_schema_privilege($1, 'public', 'create')", theirs)
    for name in (theirs, role_in(scratch_url)):
        assert not await connection.fetchval("select has_function_privilege($1, 'move_counter()', 'execute')", name)
    assert await connection.fetchval("select has_table_privilege($1, 'ledger', 'insert')", role_in(scratch_url))
    await connection.close()


async def test_a_renamed_database_is_told_of_and_a_migration_mends_it(postgres: str, scratch_url: str) -> None:
    await migrate.migrate(scratch_url)
    before = role_in(scratch_url)
    assert not (await migrate.status(scratch_url)).as_owner
    with capture_logs() as logged:
        assert await role_of(scratch_url) == before
    assert logged == []
    name, moved = urlsplit(scratch_url).path[1:], f"moved_{uuid.uuid4().hex}"
    administrator = await asyncpg.connect(postgres)
    await administrator.execute(f"alter database {name} rename to {moved}")
    url = urlunsplit(urlsplit(scratch_url)._replace(path=f"/{moved}"))
    try:
        assert (await migrate.status(url)).as_owner
        for pooled in (False, True):
            with capture_logs() as logged:
                assert await role_of(url, pooled_by_others=pooled) == urlsplit(url).username
            assert [event["event"] for event in logged] == ["database.works_as_owner"]
        assert not (await migrate.migrate(url)).as_owner
        assert await role_of(url) == role_in(url)
        owner = await asyncpg.connect(url)
        assert not await owner.fetchval("select has_table_privilege($1, 'users', 'select')", before)
        await owner.close()
    finally:
        await administrator.execute(f"alter database {moved} rename to {name}")
        await administrator.close()


async def test_a_role_that_somebody_made_to_be_in_it_gets_nothing(postgres: str, scratch_url: str) -> None:
    role, stranger = role_in(scratch_url), f"stranger_{uuid.uuid4().hex}"
    administrator = await asyncpg.connect(postgres)
    await administrator.execute(f"create role {stranger}; create role {role}; grant {role} to {stranger}")
    status = await migrate.migrate(scratch_url)
    assert status.at_head
    assert status.as_owner
    assert status.role_missing
    assert stranger in status.role_missing
    connection = await asyncpg.connect(scratch_url)
    assert not await connection.fetchval("select has_table_privilege($1, 'users', 'select')", stranger)
    asked = status.role_missing.partition("administrator run: ")[2]
    await administrator.execute(asked.partition(";")[0])
    assert (await migrate.migrate(scratch_url)).role_missing is None
    # Whom an administrator lets in afterwards is theirs to say.
    await administrator.execute(f"grant {role} to {stranger}")
    assert (await migrate.migrate(scratch_url)).role_missing is None
    await connection.close()
    await administrator.execute(f"revoke {role} from {stranger}; drop role {stranger}")
    await administrator.close()


async def test_an_operator_of_somebody_else_does_not_run_as_the_owner(scratch_url: str) -> None:
    await migrate.migrate(scratch_url)
    connection = await asyncpg.connect(scratch_url)
    await connection.execute(
        "create function public.told(oid, regclass) returns boolean language plpgsql as"
        " $$ begin raise exception 'it ran as %', current_user; end $$;"
        "create operator public.<> (leftarg = oid, rightarg = regclass, function = public.told);"
    )
    await connection.execute(f"set role {role_in(scratch_url)}")
    # Past the guard's own comparison, to the account that is not there.
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(
            "insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at)"
            " values (gen_random_uuid(), 'spend', gen_random_uuid(), 'f', '1970-01-01', 1, 1, '2026-01-01Z')"
        )
    await connection.close()


async def test_without_the_right_to_it_the_migration_says_so_and_the_application_works(owner_url: str) -> None:
    status = await migrate.migrate(owner_url)
    assert status.at_head
    assert status.role_missing
    assert f"grant {role_in(owner_url)} to owner_" in status.role_missing
    assert (await role_of(owner_url)).startswith("owner_")
    connection = await asyncpg.connect(owner_url)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await connection.execute("truncate ledger")
    await connection.close()


async def test_what_the_migration_asks_of_an_administrator_is_enough(owner_url: str, postgres: str) -> None:
    first = await migrate.migrate(owner_url)
    assert first.role_missing
    asked = first.role_missing.partition("administrator run: ")[2]
    administrator = await asyncpg.connect(postgres)
    for statement in asked.split("; ")[:-1]:
        await administrator.execute(statement)
    await administrator.close()
    assert (await migrate.migrate(owner_url)).role_missing is None
    assert await role_of(owner_url) == role_in(owner_url)
