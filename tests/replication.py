"""A primary and its streaming replica, both of the embedded Postgres, for the tests that need two servers."""

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from db import migrate
from db.embedded import EmbeddedPostgres
from db.embedded.places import service_account


def _server(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(home, durable=False, shared_buffers="16MB", max_connections=80)


class Pair:
    """A migrated primary, and a hot standby made from a copy of it, below a folder that every account comes to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._primary, self._standby = _server(folder / "primary"), _server(folder / "standby")
        self.url = self._primary.start()
        asyncio.run(migrate.migrate(self.url))
        self._primary.stop()
        self._copy()
        self.url = self._primary.start()
        self._let_follow()
        self.read_url = self._standby.start()

    def _copy(self) -> None:
        """Cold: of a server that was shut down in order."""
        account = service_account()
        home = self._folder / "standby"
        home.mkdir()
        data = home / "data"
        shutil.copytree(self._folder / "primary" / "data", data)
        sockets = parse_qs(urlsplit(self.url).query)["host"][0]
        (data / "standby.signal").touch()
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = 'host={sockets} port=5432 user=gatehouse'\n")
            settings.write("wal_retrieve_retry_interval = '100ms'\n")
        if account.switched:
            for path in (data, *data.rglob("*")):
                os.chown(path, account.uid, account.gid)

    def _let_follow(self) -> None:
        """Open the primary's socket, in its private folder, to the account that the standby runs as."""
        with (self._folder / "primary" / "pg_hba.conf").open("a") as rules:
            rules.write("local replication all trust\n")
        asyncio.run(run(self.url, "select pg_reload_conf()"))

    def stop_standby(self) -> None:
        self._standby.stop()

    def start_standby(self) -> None:
        assert self._standby.start() == self.read_url

    def remove(self) -> None:
        self._standby.remove()
        self._primary.remove()


async def run(url: str, statement: str) -> object:
    """The value of a statement, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
