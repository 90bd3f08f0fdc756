"""One owner at a time: the locked file that names the process serving a cluster, and its URL once it is up."""

import fcntl
import os
import time
from pathlib import Path

from db.embedded.error import EmbeddedPostgresError

# A reader of the URL holds the lock for an instant; only an owner holds it longer.
_PATIENCE_SECONDS = 0.5


class Ownership:
    """The lock on a cluster. The kernel frees it with the process: the descriptor is not inherited by programs."""

    def __init__(self, path: Path, home: Path) -> None:
        """Take the lock of the cluster of `home`; raises `EmbeddedPostgresError` naming the process that has it."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not _locked(self._descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                owner = _lines(self._descriptor)[0] or "unknown"
                os.close(self._descriptor)
                raise EmbeddedPostgresError(
                    f"The Postgres of {home} is in use by process {owner}: stop that one first or set DATABASE_URL."
                )
            time.sleep(0.02)
        os.ftruncate(self._descriptor, 0)
        self._write(f"{os.getpid()}\n")

    def announce(self, url: str) -> None:
        """Let other processes know where the server is."""
        self._write(f"{os.getpid()}\n{url}\n")

    def release(self) -> None:
        """Give the lock back. The file stays: one who waits for it and one who made it anew would both have it."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def _write(self, text: str) -> None:
        os.pwrite(self._descriptor, text.encode(), 0)


def announced_url(path: Path) -> str | None:
    """The URL that the present owner announced; None where nobody owns the cluster or it is not up yet."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        if _locked(descriptor, fcntl.LOCK_SH):
            return None
        return _lines(descriptor)[1] or None
    finally:
        os.close(descriptor)


def _locked(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lines(descriptor: int) -> tuple[str, str]:
    """Both lines of the file, an unfinished one as empty."""
    complete = os.pread(descriptor, 4096, 0).decode(errors="replace").split("\n")[:-1]
    return (complete[0] if complete else "", complete[1] if len(complete) > 1 else "")
