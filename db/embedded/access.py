"""Who may connect to the embedded Postgres: the files that say so. Which folders it uses is decided in places."""

import os
import pwd
from pathlib import Path

from db.embedded.error import EmbeddedPostgresError
from db.embedded.places import Account

_PEER = "local all all peer map=owner\n"
_ANYBODY = "local all all trust\n"


def restrict(base: Path, account: Account) -> dict[str, str]:
    """Write the access rules of the cluster in `base` anew; returns the settings that make Postgres read them.

    Only we and root get in, told by the kernel, as any role: under root, Postgres runs as `nobody`, and other processes
    of that account come to its socket as well. The rules are not in the data folder: `nobody` may write to that.
    """
    owner = _name(os.geteuid())
    if owner is None and account.switched:
        raise EmbeddedPostgresError("There is no account of user 0, so that Postgres cannot tell it: set DATABASE_URL.")
    # Postgres tells a peer by the name of its account, and a container may run as a user without any. Trust gives
    # nothing away there: the socket is in a folder of mode 0700, and whoever passes that reads the data files too.
    names = sorted({name for name in (owner, _name(0)) if name})
    rules = {
        "hba_file": (base / "pg_hba.conf", _PEER if owner else _ANYBODY),
        "ident_file": (base / "pg_ident.conf", "".join(f"owner {_quoted(name)} all\n" for name in names)),
    }
    for path, text in rules.values():
        # Made anew and never written through a name that somebody else may have put there.
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o644)  # whatever the umask: the service account reads it
            file.write(text)
    return {setting: str(path) for setting, (path, _) in rules.items()}


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
