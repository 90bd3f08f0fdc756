"""Moving the tables between revisions, and saying where they stand. The steps themselves are in db.migrations.

Alembic is imported when it is needed: a tenth of a second that servers, which only need `head`, do not wait for.
"""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from db import roles
from db.session import unavailable_when_out_of_reach
from db.url import dsn

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands. `pending`: revisions to come, oldest first; `unknown`: made by a newer Gatehouse.

    `role_missing`: after a migration, why the application goes on as the owner of its tables; else None.
    `as_owner`: there are tables, but the application would not work as its role.
    """

    current: str | None
    head: str
    pending: tuple[str, ...]
    unknown: bool
    as_owner: bool = False
    role_missing: str | None = None

    @property
    def at_head(self) -> bool:
        return self.current == self.head


_MIGRATIONS = Path(__file__).parent / "migrations"
_NAME = len("2026_11_20_1700")


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _scripts() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def head() -> str:
    """The revision this code needs: the last one, as files are named by theirs."""
    return max(file.name for file in (_MIGRATIONS / "versions").glob("2*.py"))[:_NAME]


async def migrate(url: str, to: str = "head", *, schema: str | None = None) -> Status:
    """Bring the tables to `to`, up or down, and give the application its role; `ValueError` for no such revision.

    Two that migrate at once take turns; the second finds nothing left to do. `schema`: as for `Database`.
    """
    target = _revision(to)
    where = {"dsn": dsn(url), "server_settings": {"search_path": schema} if schema else {}}
    engine = create_async_engine("postgresql+asyncpg://", connect_args=where, poolclass=NullPool)
    with unavailable_when_out_of_reach:
        async with engine.connect() as connection:
            await connection.run_sync(_move, target)
            role_missing = await connection.run_sync(roles.grant)
            await connection.commit()
            return replace(await _status(connection), role_missing=role_missing)


def _move(connection: Connection, target: str | None) -> None:
    from alembic import command
    from alembic.migration import MigrationContext

    scripts, config = _scripts(), _config()
    current = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    config.attributes["connection"] = connection
    names = _names(scripts)
    down = target is None or (current in names and names.index(current) > names.index(target))
    (command.downgrade if down else command.upgrade)(config, target or "base")


def _revision(to: str) -> str | None:
    """The revision that is meant by `head`, `base` or its own name; None for `base`."""
    names = _names(_scripts())
    if to in ("head", "base"):
        return names[-1] if to == "head" else None
    if to not in names:
        raise ValueError(f"no revision {to}; `gatehouse migrate status` lists them.")
    return to


def _names(scripts: "ScriptDirectory") -> list[str]:
    """Every revision, oldest first."""
    return [script.revision for script in scripts.walk_revisions()][::-1]


def sql(to: str = "head") -> str:
    """The statements from nothing to `to`, for those who run them by hand; `ValueError` as above."""
    from alembic import command

    output = io.StringIO()
    config = _config()
    config.output_buffer = output
    command.upgrade(config, _revision(to) or "base", sql=True)
    return output.getvalue()


async def status(url: str) -> Status:
    """Where the database at `url` stands."""
    engine = create_async_engine("postgresql+asyncpg://", connect_args={"dsn": dsn(url)}, poolclass=NullPool)
    with unavailable_when_out_of_reach:
        async with engine.connect() as connection:
            return await _status(connection)


async def _status(connection: AsyncConnection) -> Status:
    from alembic.migration import MigrationContext

    current = await connection.run_sync(lambda raw: MigrationContext.configure(raw).get_current_revision())
    as_owner = current is not None and not await connection.run_sync(roles.is_assumed)
    names = _names(_scripts())
    known = current is None or current in names
    pending = names[names.index(current) + 1 :] if current in names else names if current is None else []
    return Status(current=current, head=names[-1], pending=tuple(pending), unknown=not known, as_owner=as_owner)
