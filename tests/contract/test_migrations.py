"""Migrations: up from nothing, each one down and up again, no drift from the models, two at once."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from db import migrate
from db.models import Base
from db.url import dsn

ROOT = Path(__file__).resolve().parents[2]


async def inspect(url: str, look: Any) -> Any:
    engine = create_async_engine("postgresql+asyncpg://", connect_args={"dsn": dsn(url)}, poolclass=NullPool)
    async with engine.connect() as connection:
        return await connection.run_sync(look)


def reading(statement: str) -> Any:
    return lambda connection: list(connection.execute(text(statement)).scalars())


def drift(connection: Connection) -> Sequence[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))


async def test_the_tables_are_those_of_the_models(scratch_url: str) -> None:
    status = await migrate.migrate(scratch_url)
    assert status.at_head
    assert await inspect(scratch_url, drift) == []


async def test_every_step_goes_down_and_up_again(scratch_url: str) -> None:
    revisions = (await migrate.status(scratch_url)).pending
    assert len(revisions) >= 5
    for earlier, later in zip(("base", *revisions), revisions, strict=False):
        assert (await migrate.migrate(scratch_url, later)).current == later
        down = await migrate.migrate(scratch_url, earlier)
        assert down.current == (None if earlier == "base" else earlier)
        assert (await migrate.migrate(scratch_url, later)).current == later
    assert await inspect(scratch_url, drift) == []
    await migrate.migrate(scratch_url, "base")
    left = await inspect(scratch_url, reading("select tablename from pg_tables where schemaname = 'public'"))
    assert left == ["alembic_version"]


async def test_four_processes_at_once_take_turns(scratch_url: str) -> None:
    environment = os.environ | {"DATABASE_URL": scratch_url, "ENVIRONMENT": "test"}

    async def run() -> int | None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "migrate"), cwd=ROOT, env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    assert await asyncio.gather(*(run() for _ in range(4))) == [0, 0, 0, 0]
    assert (await migrate.status(scratch_url)).at_head


async def test_an_unknown_revision_is_refused_and_nothing_moves(scratch_url: str) -> None:
    with pytest.raises(ValueError, match="no revision 1999"):
        await migrate.migrate(scratch_url, "1999")
    assert (await migrate.status(scratch_url)).current is None


async def test_tables_of_a_newer_gatehouse_are_recognised(scratch_url: str) -> None:
    await migrate.migrate(scratch_url)

    def pretend(connection: Connection) -> None:
        connection.execute(text("update alembic_version set version_num = '2999_01_01_0000'"))
        connection.commit()

    await inspect(scratch_url, pretend)
    status = await migrate.status(scratch_url)
    assert status.unknown
    assert not status.at_head


async def test_the_printed_sql_makes_the_same_tables(scratch_url: str) -> None:
    connection = await asyncpg.connect(scratch_url)
    await connection.execute(migrate.sql())
    await connection.close()
    assert (await migrate.status(scratch_url)).at_head
    assert await inspect(scratch_url, drift) == []


async def test_a_step_does_not_queue_behind_a_busy_table(scratch_url: str) -> None:
    """The lock timeout is set on the connection that migrates; without it this test would hang."""
    await migrate.migrate(scratch_url)
    holder = await asyncpg.connect(scratch_url)
    async with holder.transaction():
        await holder.execute("lock table idempotency_records in access share mode")
        with pytest.raises(Exception, match="Try again"):
            await migrate.migrate(scratch_url, "2026_11_20_1703")
    await holder.close()
    assert (await migrate.status(scratch_url)).current == "2026_11_20_1704"


async def test_times_are_zoned_and_constraints_named(scratch_url: str) -> None:
    await migrate.migrate(scratch_url)
    columns = "select column_name from information_schema.columns where table_schema = 'public'"
    assert await inspect(scratch_url, reading(f"{columns} and data_type = 'timestamp without time zone'")) == []
    constraints = "select conname from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'"
    found = await inspect(scratch_url, reading(constraints))
    ours = [name for name in found if not name.startswith("alembic_version")]
    assert ours
    assert all(name.split("_")[0] in ("pk", "fk", "uq", "ck") for name in ours)


def test_the_head_is_known_by_the_names_of_files() -> None:
    """Servers know it without Alembic."""
    assert migrate.head() == migrate._scripts().get_current_head()
    script = "import sys, app, cli.commands; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
