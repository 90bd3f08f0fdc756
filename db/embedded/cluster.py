"""The life of an embedded Postgres: first initialisation, start, recovery from any earlier end, stop."""

import logging
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from db.embedded.access import restrict
from db.embedded.binaries import MAJOR, binaries_for, last_lines, run
from db.embedded.error import EmbeddedPostgresError
from db.embedded.ownership import Ownership, announced_url
from db.embedded.places import SOCKET_NAME, Account, locate, private_folder, service_account, settle, socket_folder
from db.embedded.processes import cluster_name, dismiss, end_processes, guard, postmaster_status, processes_of

_log = logging.getLogger(__name__)

# Crash recovery replays up to max_wal_size (1 GB) of changes: seconds as a rule, more on a slow disk.
_READY_SECONDS = 120.0
_QUIET_SECONDS = 3.0
_ORPHAN_SECONDS = 5.0
_LOG_BYTES = 5_000_000
# C.UTF-8 by Postgres itself: that of the C library differs between machines, and macOS has none.
_INITDB = (
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"),
    # The rules for access are kept elsewhere: started without them, it lets nobody in.
    *("--username=gatehouse", "--auth=reject", "--data-checksums", "--no-instructions"),
)


class EmbeddedPostgres:
    """A Postgres server of our own in the folder `home`, reached by a unix socket, with one owner at a time.

    It ends with its owner: by `stop()`, or by a guardian process where the owner was killed. With `durable=False` a
    crash of the machine may ruin the data: for throwaway tests. As a context manager it gives the URL.
    """

    def __init__(
        self, home: Path, *, max_connections: int = 100, shared_buffers: str = "128MB", durable: bool = True
    ) -> None:
        self._home = home.resolve()
        self._durable = durable
        self._settings = {
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            "port": "5432",
            "max_connections": str(max_connections),
            "shared_buffers": shared_buffers,
            "timezone": "UTC",
            "log_timezone": "UTC",
            # The server's own events only: a client's errors reach the client, and their details may hold secrets.
            "log_min_messages": "log",
            "log_checkpoints": "off",
        } | dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "on" if durable else "off")
        self._data, self._sockets = self._home / "data", self._home / "run"
        self._ownership: Ownership | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guardian: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start the server, initialising `home` at first; returns a libpq URL once it accepts connections.

        Takes a second or two, up to 120 s after a crash. Raises `EmbeddedPostgresError`; then nothing is left running.
        """
        try:
            account = service_account()
            binaries = binaries_for(account)
            base = settle(self._home, account)
            ownership = Ownership(base / "lock", self._home)
            self._ownership = ownership
            try:
                sockets = self._prepare(base, binaries, account)
                self._launch(base, binaries, account, sockets)
                url = f"postgresql://gatehouse@/gatehouse?host={quote(str(sockets), safe='')}&port=5432"
                ownership.announce(url)
            except BaseException:
                self.stop()
                raise
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedPostgresError(f"The Postgres of {self._home} cannot start: {error}.") from error
        return url

    def stop(self) -> None:
        """Shut the server down and wait for its end (seconds, 21 at most); nothing where it is not running."""
        if self._ownership is None:
            return
        if self._process is not None:
            end_processes(self._data)
            self._process.wait()
            self._process = None
        if self._guardian is not None:
            dismiss(self._guardian)
            self._guardian = None
        with suppress(OSError):
            self._sockets.rmdir()  # a folder of our name in /tmp would be litter
        self._ownership.release()
        self._ownership = None

    def remove(self) -> None:
        """Stop, then delete `home` with its data and all else in it: for throwaway clusters."""
        self.stop()
        base = locate(self._home)
        if base is not None:
            ownership = Ownership(base / "lock", self._home)
            shutil.rmtree(base)
            ownership.release()
        shutil.rmtree(self._home, ignore_errors=base == self._home)

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self, base: Path, binaries: Path, account: Account) -> Path:
        """Bring the data folder into a state that a postmaster accepts; returns the folder for the socket."""
        data = base / "data"
        if processes_of(data):
            _log.warning("Stopping the Postgres that an earlier process left in %s", data)
            end_processes(data)
        for interrupted in base.glob("data.new-*"):
            _remove(interrupted)
        if not data.exists():
            self._initialise(data, binaries, account)
        _check(data, account)
        sockets = socket_folder(base, account)
        # Nothing of this folder runs and nobody else may start it, so these are leftovers. Postgres itself would
        # believe them where their process id belongs to somebody else by now.
        for leftover in (data / "postmaster.pid", sockets / SOCKET_NAME, sockets / f"{SOCKET_NAME}.lock"):
            leftover.unlink(missing_ok=True)
        return sockets

    def _initialise(self, data: Path, binaries: Path, account: Account) -> None:
        """Make the data folder under another name and rename it, so that it is there whole or not at all."""
        scratch = Path(tempfile.mkdtemp(prefix="data.new-", dir=data.parent))
        try:
            private_folder(scratch, account)
            sync = () if self._durable else ("--no-sync",)
            run([str(binaries / "initdb"), "-D", str(scratch), *_INITDB, *sync], account)
            run(
                [str(binaries / "postgres"), "--single", "-D", str(scratch), "-c", "exit_on_error=on", "postgres"],
                account,
                "CREATE DATABASE gatehouse\n",
            )
            scratch.rename(data)
            if self._durable:
                _sync(data.parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _launch(self, base: Path, binaries: Path, account: Account, sockets: Path) -> None:
        data, log = base / "data", self._home / "postgres.log"
        settings = self._settings | {"unix_socket_directories": str(sockets), "cluster_name": cluster_name(data)}
        settings |= restrict(base, account)
        self._data, self._sockets = data, sockets  # before there is a process: what `stop` needs
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            written = os.fstat(output).st_size
            self._process = subprocess.Popen(  # noqa: S603 - as in `run`
                [str(binaries / "postgres"), "-D", str(data), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                **account.process_options,
            )
        finally:
            os.close(output)
        self._guardian = guard(self._process.pid, account)
        self._await_ready(self._process, log, written)

    def _await_ready(self, process: "subprocess.Popen[bytes]", log: Path, written: int) -> None:
        began = time.monotonic()
        told = 0.0
        while postmaster_status(self._data) != (process.pid, "ready"):
            waited = time.monotonic() - began
            ended = process.poll() is not None
            if ended or waited > _READY_SECONDS:
                fate = "did not start" if ended else f"was not ready within {_READY_SECONDS:g} s"
                raise EmbeddedPostgresError(
                    f"The Postgres of {self._home} {fate}; the end of {log}:\n{_tail(log, written)}"
                )
            if waited - told > _QUIET_SECONDS:
                told = waited
                _log.info("Postgres is not ready after %.0f s: %s", waited, _tail(log, written, 1))
            time.sleep(0.02)


def running_url(home: Path) -> str | None:
    """The URL of the server that a live process of ours runs for `home`, else None."""
    try:
        base = locate(home.resolve())
        return announced_url(base / "lock") if base else None
    except OSError as error:
        raise EmbeddedPostgresError(f"Cannot tell whether the Postgres of {home} is running: {error}.") from error


def _check(data: Path, account: Account) -> None:
    try:
        major = (data / "PG_VERSION").read_text(errors="replace").strip()
    except FileNotFoundError:
        major = ""
    if major != str(MAJOR):
        held = f"data of Postgres {major}" if major else "no data of Postgres"
        raise EmbeddedPostgresError(
            f"{data} holds {held} and Gatehouse brings Postgres {MAJOR}: move the folder away to start with empty data."
        )
    owner = data.stat().st_uid
    if owner != account.uid:
        raise EmbeddedPostgresError(
            f"{data} belongs to user {owner}, but Postgres would run as {account.uid}: start it as that user."
        )


def _remove(folder: Path) -> None:
    """Delete a folder in which an orphaned initdb may still write for a moment; without its files it soon ends."""
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


def _sync(folder: Path) -> None:
    """Make a renaming in `folder` outlast a power failure: the next start deletes what still has its old name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _tail(log: Path, written: int, count: int = 8) -> str:
    with log.open("rb") as file, suppress(OSError):
        file.seek(max(written, log.stat().st_size - 10_000))
        return last_lines(file.read().decode(errors="replace"), count)
    return ""
