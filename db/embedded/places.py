"""Which account runs Postgres and which folders it uses. No folder that was there before gets a wider mode."""

import hashlib
import os
import pwd
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.embedded.error import EmbeddedPostgresError

STATE = Path("/var/lib/gatehouse")
SOCKET_NAME = ".s.PGSQL.5432"
_SHORT_PREFIX = "gatehouse-"
# sun_path is 104 bytes on macOS and 108 on Linux, its closing NUL included.
_SOCKET_PATH_BYTES = 103
# Commas, quotes and '%' mean something to libpq, asyncpg or Postgres' own list of socket folders.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the processes of Postgres run as; `switched` where that is not who we are."""

    uid: int
    gid: int
    switched: bool

    @property
    def process_options(self) -> dict[str, Any]:
        """For `subprocess`: a session of its own, so that Ctrl-C reaches us alone, and none of our environment."""
        options: dict[str, Any] = {
            "start_new_session": True,
            "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        }
        if self.switched:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def reaches(self, path: Path) -> bool:
        """Whether the account comes to `path`, judged by the modes for everybody: at worst too careful."""
        real = path.resolve()
        return not self.switched or all(place.stat().st_mode & stat.S_IXOTH for place in (real, *real.parents))


def service_account() -> Account:
    """Ourselves, or `nobody` where we are root: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switched=False)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "Postgres does not run as root and there is no account 'nobody': set DATABASE_URL or be another user."
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid, switched=True)


def digest(path: Path) -> str:
    """A short name for `path`."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def state_folder(name: str = "") -> Path:
    """The folder `name` under /var/lib/gatehouse, made where it is missing, for root alone to write."""
    for folder in (STATE, STATE / name):
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            folder.chmod(0o755)  # whatever the umask: the service account passes through it
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise EmbeddedPostgresError(f"{folder} must be a folder that only root can write to: remove it.")
    return STATE / name


def locate(home: Path) -> Path | None:
    """The folder with the cluster of `home`: `home`, or where `home/data` points to; None where neither is yet."""
    link = home / "data"
    if not link.is_symlink():
        return home if link.exists() else None
    target = Path(os.readlink(link))
    if target.name != "data" or target.parent.parent != STATE or target.parent.name.startswith("."):
        raise EmbeddedPostgresError(f"{link} is a symbolic link that Gatehouse did not make: remove it.")
    return target.parent


def settle(home: Path, account: Account) -> Path:
    """The folder for the cluster of `home`, made where it is missing.

    Where the account cannot come to `home` (a clone in /root), it is a folder under /var/lib/gatehouse that `home/data`
    points to. Its name is random: a home that was deleted never finds its old data again, one that was moved does.
    """
    home.mkdir(parents=True, exist_ok=True)
    base = locate(home)
    if base is None and not account.reaches(home):
        name = Path(tempfile.mkdtemp(prefix=f"{digest(home)}-", dir=state_folder())).name
        try:
            (home / "data").symlink_to(STATE / name / "data")
        except FileExistsError:  # another process was first; its lock will tell
            (STATE / name).rmdir()
        else:
            (STATE / name).chmod(0o755)
        base = locate(home)
    if base is None or base == home:
        return home
    return state_folder(base.name)


def private_folder(path: Path, account: Account) -> Path:
    """Make `path` a folder of the account with mode 0700; refuse a link, or what belongs to somebody else."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        # By descriptor: a name in a shared folder may be another thing at each look.
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise _not_ours(path, account) from error
    try:
        if os.fstat(descriptor).st_uid not in (account.uid, os.geteuid()):
            raise _not_ours(path, account)
        os.fchmod(descriptor, 0o700)
        if account.switched:
            os.fchown(descriptor, account.uid, account.gid)
    finally:
        os.close(descriptor)
    return path


def _not_ours(path: Path, account: Account) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(f"{path} must be a folder of user {account.uid} and no symbolic link: remove it.")


def socket_folder(base: Path, account: Account) -> Path:
    """A private folder for the socket: in `base`, or in a temporary folder where that path is too long for a socket.

    The latter has a new random name at each start, because anybody could be first to take a name known beforehand.
    The link `base/sockets` keeps it, for the next start to remove the folder that a killed owner left.
    """
    record = base / "sockets"
    if record.is_symlink():
        former = base / os.readlink(record)
        with suppress(OSError):
            if former.name.startswith(_SHORT_PREFIX):
                former.rmdir()
        record.unlink()
    name = f"{_SHORT_PREFIX}{secrets.token_hex(8)}"
    # /tmp too: the temporary folder may itself be deep.
    for folder in (base / "run", Path(tempfile.gettempdir(), name), Path("/tmp", name)):  # noqa: S108
        short = len(os.fsencode(folder / SOCKET_NAME)) <= _SOCKET_PATH_BYTES
        if short and _PLAIN_PATH.fullmatch(str(folder)) and account.reaches(folder.parent):
            private_folder(folder, account)
            if folder.parent != base:
                record.symlink_to(folder)
            return folder
    raise EmbeddedPostgresError("There is no folder with a path short enough for a socket: set TMPDIR to a short one.")
