"""The processes of one data folder: finding them, ending them, and the guardian that ends them after our own death."""

import logging
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from db.embedded.error import EmbeddedPostgresError
from db.embedded.places import Account, digest

_log = logging.getLogger(__name__)

PROC = Path("/proc")
# A fast shutdown writes a checkpoint. After SIGQUIT the postmaster itself gives its children 5 s before it kills them.
STEPS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 5.0))
# Nobody else waits for the postmaster, so that its id stays taken while we live, and the guardian hits nobody else.
_GUARD = 'read line; kill -INT "$1"'


def cluster_name(data: Path) -> str:
    """The name that every process of this data folder carries in its title."""
    return f"gatehouse-{digest(data)}"


def processes_of(data: Path) -> set[int]:
    """The live postmaster and children of exactly this data folder, those of a dead postmaster included."""
    if not PROC.is_dir():
        return _processes_by_title(data)
    if not data.is_dir():
        return set()
    folder = data.stat()
    found = set()
    for process in PROC.iterdir():
        # Each of them works in its data folder; a shell may too, hence the look at the program. A zombie shows neither.
        with suppress(OSError):
            if process.name.isdigit() and os.path.samestat(folder, (process / "cwd").stat()):
                program = os.path.basename(os.readlink(process / "exe"))
                if program.removesuffix(" (deleted)") == "postgres":
                    found.add(int(process.name))
    return found


def _processes_by_title(data: Path) -> set[int]:
    listing = subprocess.run(
        ["/bin/ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, errors="replace", check=True
    )
    entries = (line.split(maxsplit=1) for line in listing.stdout.splitlines())
    return {
        int(pid)
        for pid, command in (entry for entry in entries if len(entry) == 2)
        if re.search(r"(?:^|/)postgres(?::| -D )", command) and cluster_name(data) in command
    }


def postmaster_status(data: Path) -> tuple[int, str]:
    """Process id and state (`starting`, `ready`, `stopping`) from postmaster.pid; (0, "") where there is none."""
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
        return int(lines[0]), lines[7].strip() if len(lines) > 7 else ""
    except (FileNotFoundError, IndexError, ValueError):
        return 0, ""


def end_processes(data: Path) -> None:
    """Shut the Postgres of this data folder down, less and less gently; returns when no process of it is left."""
    remaining = processes_of(data)
    for number, seconds in STEPS:
        postmaster = postmaster_status(data)[0]
        if number is signal.SIGINT and postmaster not in remaining:
            continue  # children without their postmaster: nobody is left to shut down in order
        for pid in {postmaster} if number is signal.SIGINT else remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while remaining and time.monotonic() < deadline:
            time.sleep(0.03)
            remaining = processes_of(data)
        if not remaining:
            return
        _log.warning("Postgres in %s is still there %g s after %s", data, seconds, number.name)
    raise EmbeddedPostgresError(f"Postgres in {data} does not end: look at its processes {sorted(remaining)}.")


def guard(postmaster: int, account: Account) -> "subprocess.Popen[bytes]":
    """Start a process that shuts `postmaster` down when we are gone, however we went.

    It waits for the end of a pipe that only we hold open. The parent-death signal of Linux would need no process, but
    comes when the *thread* that started Postgres ends, and macOS has none.
    """
    return subprocess.Popen(  # noqa: S603 - the only word that varies is a number
        ["/bin/sh", "-c", _GUARD, "gatehouse-guardian", str(postmaster)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        **account.process_options,
    )


def dismiss(guardian: "subprocess.Popen[bytes]") -> None:
    """End the guardian without its doing anything."""
    guardian.kill()
    guardian.wait()
    if guardian.stdin is not None:
        guardian.stdin.close()
