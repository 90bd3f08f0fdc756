"""Where the embedded Postgres lives and as whom it runs: folders, sockets, modes, root and other users."""

import asyncio
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from db.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries, places, running_url
from db.embedded.places import digest, locate, private_folder, service_account, socket_folder
from db.embedded.processes import processes_of
from tests.db.clusters import postgres_at

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")

# What it needs is imported before it gives root up: the interpreter may be out of reach afterwards.
AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from db.embedded import EmbeddedPostgres, binaries

home, programs, uid, gid = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

async def ask(url):
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS visits ()")
    await connection.execute("INSERT INTO visits DEFAULT VALUES")
    print(await connection.fetchval("SELECT count(*) FROM visits"))
    await connection.close()

os.setgroups([])
os.setgid(gid)
os.setuid(uid)
binaries.installed = lambda: programs
for _ in range(2):
    with EmbeddedPostgres(home) as url:
        asyncio.run(ask(url))
"""

ROOT = Path(__file__).resolve().parents[2]


def query(url: str, statement: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as other:  # a thread without the loop of pytest-asyncio
        return other.submit(asyncio.run, ask()).result()


def sockets_of(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What /var/lib/gatehouse is for root, empty."""
    assert Path("/var/lib/gatehouse") == places.STATE
    monkeypatch.setattr(places, "STATE", folder / "lib" / "gatehouse")
    (folder / "lib").mkdir()
    (folder / "lib").chmod(0o755)
    return folder / "lib" / "gatehouse"


@pytest.fixture
def closed(state: Path) -> Iterator[Path]:
    """A folder that other accounts do not come to, as /root is; what it leads to is removed with it."""
    with tempfile.TemporaryDirectory(prefix="gh-") as folder:
        home = Path(folder).resolve() / "clone" / "pg"
        yield home
        for name in ("pg", "moved"):
            if home.with_name(name).exists():
                EmbeddedPostgres(home.with_name(name)).remove()


@pytest.mark.parametrize("name", ["x" * 120, "with, 'odd' \"signs\" % and ü"])
def test_a_home_that_no_socket_can_live_in_gets_a_private_short_folder(folder: Path, name: str) -> None:
    home, seen = folder / name / "pg", set()
    for _ in range(2):
        with postgres_at(home) as url:
            sockets = sockets_of(url)
            assert (sockets.parent, sockets.name[:10]) == (Path(tempfile.gettempdir()), "gatehouse-")
            assert (mode(sockets), sockets.stat().st_uid) == (0o700, service_account().uid)
            assert query(url, "SELECT 1") == 1
            assert running_url(home) == url
            seen.add(sockets)
        assert not sockets.exists()
    assert len(seen) == 2  # nobody knows the next one
    assert (home / "data" / "PG_VERSION").exists()


def test_a_short_folder_that_a_killed_owner_left_is_removed_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    base = folder / ("x" * 120)
    base.mkdir()
    left = socket_folder(base, service_account())
    following = socket_folder(base, service_account())
    assert not left.exists()
    assert os.readlink(base / "sockets") == str(following)
    (following / "kept").touch()  # no folder of ours any more
    socket_folder(base, service_account())
    assert (following / "kept").exists()


@pytest.mark.parametrize("planted", ["elsewhere", "gatehouse-other"])
def test_only_an_empty_folder_of_our_kind_is_removed(folder: Path, planted: str) -> None:
    base, elsewhere = folder / ("x" * 120), folder / "elsewhere"
    base.mkdir()
    elsewhere.mkdir()
    (folder / "gatehouse-other").symlink_to(elsewhere)
    (base / "sockets").symlink_to(folder / planted)
    socket_folder(base, service_account()).rmdir()
    assert elsewhere.is_dir()


def test_a_temporary_folder_that_is_itself_too_deep_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / ("y" * 100)))
    base = folder / ("x" * 120)
    base.mkdir()
    sockets = socket_folder(base, service_account())
    assert sockets.parent == Path("/tmp")
    sockets.rmdir()


@pytest.mark.parametrize("owner", [None, pytest.param(4711, marks=as_root)], ids=["link", "folder of somebody else"])
def test_a_name_taken_beforehand_is_refused_and_no_obstacle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: int | None
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    names = iter(["guessed", "new"])
    monkeypatch.setattr(secrets, "token_hex", lambda size: next(names))
    base, elsewhere, planted = folder / ("x" * 120), folder / "elsewhere", folder / "gatehouse-guessed"
    base.mkdir()
    elsewhere.mkdir(mode=0o755)
    if owner is None:
        planted.symlink_to(elsewhere)
    else:
        planted.mkdir(mode=0o755)
        os.chown(planted, owner, owner)
    before = (mode(planted), planted.lstat().st_uid)
    with pytest.raises(EmbeddedPostgresError, match="and no symbolic link: remove it"):
        socket_folder(base, service_account())
    assert socket_folder(base, service_account()) == folder / "gatehouse-new"
    assert (mode(planted), planted.lstat().st_uid) == before
    assert (mode(elsewhere), elsewhere.stat().st_uid) == (0o755, os.geteuid())


def test_a_private_folder_that_was_opened_is_closed_again(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run").chmod(0o777)
    assert mode(private_folder(folder / "run", service_account())) == 0o700


def test_a_link_of_somebody_elses_making_is_not_followed(folder: Path) -> None:
    (folder / "target").mkdir()
    (folder / "data").symlink_to(folder / "target")
    with pytest.raises(EmbeddedPostgresError, match="symbolic link that Gatehouse did not make"):
        postgres_at(folder).start()
    assert list((folder / "target").iterdir()) == []


@as_root
def test_root_hands_postgres_to_nobody_and_keeps_the_data_in_a_home_within_reach(folder: Path) -> None:
    with postgres_at(folder / "pg") as url:
        listing = subprocess.run(
            ["ps", "-o", "user=,group=,supgrp=", "-p", ",".join(map(str, processes_of(folder / "pg" / "data")))],
            capture_output=True,
            text=True,
            check=True,
        )
        assert sockets_of(url) == folder / "pg" / "run"
        assert mode(folder / "pg" / "run") == 0o700
    assert {tuple(line.split()) for line in listing.stdout.splitlines()} == {("nobody", "nogroup", "-")}
    assert mode(folder / "pg" / "data") == 0o700
    assert {path.stat().st_uid for path in (folder / "pg" / "data").rglob("*")} == {service_account().uid}


@as_root
def test_root_serves_a_clone_and_binaries_out_of_the_accounts_reach(
    closed: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = closed.parent / ".venv"
    wheel = binaries.installed().parent.parent
    shutil.copytree(wheel / "pginstall18", site / wheel.name / "pginstall18")
    shutil.copytree(wheel.with_name(f"{wheel.name}.libs"), site / f"{wheel.name}.libs")
    for path in site.rglob("*"):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)  # as installed under umask 077
    monkeypatch.setattr(binaries, "installed", lambda: site / wheel.name / "pginstall18" / "bin")
    parents = {path: mode(path) for path in (site, *closed.parents)}
    before = os.umask(0o077)
    try:
        with postgres_at(closed) as url:
            assert query(url, "SELECT usesuper FROM pg_user") is True
            assert query(url, "SHOW data_directory") == str(locate(closed) / "data")  # type: ignore[operator]  # there
    finally:
        os.umask(before)
    assert {path: mode(path) for path in (site, *closed.parents)} == parents
    base = locate(closed)
    assert base is not None
    assert base.parent == state
    assert (mode(state), mode(base), mode(base / "data")) == (0o755, 0o755, 0o700)
    assert sorted(entry.name for entry in state.iterdir() if entry != base) == [
        copy.name for copy in state.glob("postgres-*")
    ]

    closed.rename(closed.with_name("moved"))  # the data moves along, and a new home in its place starts empty
    with postgres_at(closed.with_name("moved")):
        assert locate(closed.with_name("moved")) == base
    assert locate(closed) is None

    EmbeddedPostgres(closed.with_name("moved")).remove()
    assert not base.exists()


@as_root
def test_a_home_whose_data_was_lost_with_its_machine_starts_anew(closed: Path, state: Path) -> None:
    closed.mkdir(parents=True)
    (closed / "data").symlink_to(state / f"{digest(closed)}-lost" / "data")
    with postgres_at(closed) as url:
        assert query(url, "SELECT 1") == 1


@as_root
def test_a_state_folder_that_others_can_write_to_is_refused(closed: Path, state: Path) -> None:
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="only root can write to"):
        postgres_at(closed).start()


@as_root
def test_data_of_another_account_is_refused(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "PG_VERSION").write_text("18\n")
    os.chown(folder / "data", 4711, 4711)
    with pytest.raises(EmbeddedPostgresError, match="belongs to user 4711, but Postgres would run as"):
        postgres_at(folder).start()


@as_root
def test_a_user_without_privileges_starts_it_too(folder: Path) -> None:
    nobody = service_account()
    home = folder / "theirs" / "pg"
    home.parent.mkdir(mode=0o700)
    os.chown(home.parent, nobody.uid, nobody.gid)
    programs = binaries.binaries_for(nobody)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(home), str(programs), str(nobody.uid), str(nobody.gid)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["1", "2"]), done.stderr
    assert {path.lstat().st_uid for path in home.rglob("*")} == {nobody.uid}
    assert not (home / "data").is_symlink()
    assert processes_of(home / "data") == set()
    assert mode(home.parent) == 0o700


def test_without_the_account_root_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    with pytest.raises(EmbeddedPostgresError, match="no account 'nobody': set DATABASE_URL"):
        service_account()
