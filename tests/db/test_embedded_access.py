"""Who gets into the embedded Postgres and who does not, as the accounts of the machine see it."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from db.embedded import EmbeddedPostgresError, binaries
from db.embedded.access import restrict
from db.embedded.places import Account, service_account
from tests.db.clusters import postgres_at

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")

ROOT = Path(__file__).resolve().parents[2]
NAMELESS = 54321

# As the user of argv[1], in the group of argv[2]: connects to the URL, or starts the home with these programs.
OTHER = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from db.embedded import EmbeddedPostgres, binaries

async def ask(url):
    try:
        connection = await asyncpg.connect(url)
    except (asyncpg.PostgresError, OSError) as error:
        return type(error).__name__
    try:
        return await connection.fetchval("SELECT current_user::text")
    finally:
        await connection.close()

os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
where, programs = sys.argv[3:]
if programs:
    binaries.installed = lambda: Path(programs)
    with EmbeddedPostgres(Path(where), durable=False) as url:
        print(asyncio.run(ask(url)))
else:
    print(asyncio.run(ask(where)))
"""


def as_other(uid: int, gid: int, where: str, programs: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", OTHER, str(uid), str(gid), where, programs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() or done.stderr


@as_root
def test_under_root_the_account_of_postgres_itself_is_refused(folder: Path) -> None:
    nobody = service_account()
    (folder / "pg").mkdir(mode=0o755)
    before = os.umask(0o077)
    try:
        with postgres_at(folder / "pg") as url:
            assert as_other(0, 0, url) == "gatehouse"
            assert as_other(nobody.uid, nobody.gid, url) == "InvalidAuthorizationSpecificationError"
            assert as_other(4711, 4711, url) == "PermissionError"
    finally:
        os.umask(before)
    for rules in ("pg_hba.conf", "pg_ident.conf"):
        found = (folder / "pg" / rules).stat()
        assert (found.st_uid, found.st_mode & 0o777) == (0, 0o644)


@as_root
def test_a_home_made_with_trust_is_closed_at_its_next_start(folder: Path) -> None:
    nobody, home = service_account(), folder / "pg"
    with postgres_at(home):
        pass
    (home / "data" / "pg_hba.conf").write_text("local all all trust\n")
    for rules, text in (("pg_hba.conf", "local all all trust\n"), ("pg_ident.conf", "owner nobody all\n")):
        (home / rules).write_text(text)
    with postgres_at(home) as url:
        assert as_other(0, 0, url) == "gatehouse"
        assert as_other(nobody.uid, nobody.gid, url) == "InvalidAuthorizationSpecificationError"


@as_root
def test_started_without_its_rules_a_cluster_lets_nobody_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.embedded.cluster.restrict", lambda base, account: {})
    with postgres_at(folder / "pg") as url:
        assert as_other(0, 0, url) == "InvalidAuthorizationSpecificationError"


@as_root
@pytest.mark.parametrize("named", [True, False], ids=["with a name", "without a name"])
def test_an_owner_without_privileges_gets_in_and_so_does_root(folder: Path, named: bool) -> None:
    nobody, home = service_account(), folder / "pg"
    uid, gid = (nobody.uid, nobody.gid) if named else (NAMELESS, NAMELESS)
    with postgres_at(home):  # initdb has to know the name of its user
        pass
    for path in (folder, home, *home.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)
    programs = str(binaries.binaries_for(nobody))
    assert as_other(uid, gid, str(home), programs) == "gatehouse"
    expected = "local all all peer map=owner\n" if named else "local all all trust\n"
    assert (home / "pg_hba.conf").read_text() == expected
    names = (home / "pg_ident.conf").read_text().splitlines()
    assert names == (['owner "nobody" all'] if named else []) + ['owner "root" all']


def test_rules_are_not_written_through_a_planted_link(folder: Path) -> None:
    (folder / "precious").write_text("kept")
    (folder / "pg_hba.conf").symlink_to(folder / "precious")
    os.link(folder / "precious", folder / "pg_ident.conf")
    settings = restrict(folder, service_account())
    assert settings == {"hba_file": str(folder / "pg_hba.conf"), "ident_file": str(folder / "pg_ident.conf")}
    assert (folder / "precious").read_text() == "kept"
    assert "peer" in (folder / "pg_hba.conf").read_text()


def test_a_name_with_signs_is_one_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = pwd.struct_passwd(('DOMAIN\\a "b", c', "x", 1, 1, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: odd)
    restrict(folder, Account(os.geteuid(), os.getegid(), switched=False))
    assert (folder / "pg_ident.conf").read_text() == 'owner "DOMAIN\\a ""b"", c" all\n'


def test_a_root_without_an_account_is_told_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(EmbeddedPostgresError, match="no account of user 0"):
        restrict(folder, Account(65534, 65534, switched=True))
