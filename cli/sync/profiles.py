"""Who one is to which server: the file of profiles, the environment, which wins, and the default. Nothing is asked."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import typer
from pydantic import BaseModel, SecretStr, ValidationError

from cli.sync.address import Server, server_of
from cli.sync.failures import Failure, say

DEFAULT = "default"
_KEY = re.compile(r"iq_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST = 1024 * 1024


class Profile(BaseModel):
    """One entry of the file. `insecure_http`: its owner has said that the key may travel by plain http to `url`."""

    url: str
    api_key: SecretStr
    insecure_http: bool = False


class _File(BaseModel):
    profiles: dict[str, Profile] = {}


@dataclass(frozen=True, slots=True)
class Connection:
    """A server, and the secret to show there."""

    server: Server
    secret: str = field(repr=False)


def folder(platform: str, environ: Mapping[str, str], home: Path) -> Path:
    """Where this platform keeps the configuration of a person's programs; of relative paths the XDG says: ignore."""
    if platform == "win32":
        return Path(environ.get("APPDATA") or home / "AppData" / "Roaming") / "gatehouse"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "gatehouse"
    chosen = Path(environ.get("XDG_CONFIG_HOME", ""))
    return (chosen if chosen.is_absolute() else home / ".config") / "gatehouse"


def file() -> Path:
    """The file of profiles."""
    return folder(sys.platform, os.environ, Path.home()) / "sync.json"


def said(name: str) -> str | None:
    """What the environment says; empty is as good as unset."""
    return os.environ.get(name, "").strip() or None


def checked_key(text: str) -> str:
    """An API key as it is written, else a `Failure` that does not repeat it."""
    if not _KEY.fullmatch(text.strip()):
        raise Failure(
            "NOT_A_KEY",
            "This is not an API key: one is iq_ and 43 characters.",
            "Copy it whole, or make one: gatehouse keys create NAME.",
        )
    return text.strip()


def read() -> dict[str, Profile]:
    """All profiles by name; none where there is no file."""
    path = file()
    try:
        with path.open("rb") as opened:
            text = opened.read(_LARGEST)
            mode = os.fstat(opened.fileno()).st_mode
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failure("CONFIGURATION", f"{path} cannot be read ({error.strerror}).", "Make it yours again.") from None
    if os.name == "posix" and mode & 0o077:
        say(
            f"gatehouse: others on this machine can read {path}, which has your keys. Run: chmod 600 '{path}'", "yellow"
        )
    try:
        return _File.model_validate_json(text).profiles
    except ValidationError:
        remedy = "Mend it, or move it away and run: gatehouse sync configure."
        raise Failure("CONFIGURATION", f"{path} is not as gatehouse writes it.", remedy) from None


def store(name: str, profile: Profile) -> Path:
    """Keep a profile under this name, in the place of the one before; other profiles stay. Whole or not at all."""
    profiles = {**read(), name: profile}
    listed = {
        one: {**kept.model_dump(exclude={"api_key"}), "api_key": kept.api_key.get_secret_value()}
        for one, kept in profiles.items()
    }
    path = file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        # Only the owner may read what mkstemp makes.
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".sync-")
        try:
            with open(handle, "w", encoding="utf-8") as opened:
                json.dump({"profiles": listed}, opened, indent=2)
                opened.flush()
                os.fsync(opened.fileno())
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        remedy = "Set GATEHOUSE_API_KEY and GATEHOUSE_URL instead, or make the folder yours."
        raise Failure("CONFIGURATION", f"{path} cannot be written ({error.strerror}).", remedy) from None
    return path


def name_of(given: str | None) -> str:
    """The profile that is meant: by the option, else the environment, else the default one."""
    name = given or said("GATEHOUSE_PROFILE") or DEFAULT
    if not _NAME.fullmatch(name):
        raise typer.BadParameter("a profile's name is letters, digits, . _ and -, at most 64.", param_hint="--profile")
    return name


def url_of(given: str | None, profile: Profile | None) -> str:
    """The address that is meant: by the option, the environment, the profile; else of the server on this machine."""
    return given or said("GATEHOUSE_URL") or (profile.url if profile else f"http://127.0.0.1:{said('PORT') or 8000}")


def server(name: str | None, url: str | None, *, insecure_http: bool) -> Server:
    """The server that is meant, for a secret that is not the profile's."""
    chosen = name_of(name)
    profile = None if url or said("GATEHOUSE_URL") else _profile(chosen, asked=name or said("GATEHOUSE_PROFILE"))
    return _server(url, profile, insecure_http=insecure_http)


def connection(name: str | None, url: str | None, *, insecure_http: bool) -> Connection:
    """The server and the API key that are meant; `Failure` where there is no key."""
    chosen, key = name_of(name), said("GATEHOUSE_API_KEY")
    # A file that is not needed cannot stand in the way.
    needed = not key or not (url or said("GATEHOUSE_URL"))
    profile = _profile(chosen, asked=name or said("GATEHOUSE_PROFILE")) if needed else None
    to = _server(url, profile, insecure_http=insecure_http)
    if key is None and profile is None:
        raise Failure(
            "NO_API_KEY", "There is no API key yet.", "Run: gatehouse sync configure. Or set GATEHOUSE_API_KEY."
        )
    return Connection(to, checked_key(key or (profile.api_key.get_secret_value() if profile else "")))


def _server(url: str | None, profile: Profile | None, *, insecure_http: bool) -> Server:
    chosen = url_of(url, profile)
    agreed = profile is not None and profile.insecure_http and chosen == profile.url
    return server_of(chosen, insecure_http=insecure_http or agreed)


def _profile(name: str, *, asked: str | None) -> Profile | None:
    """The profile of this name. That the default one is missing is no fault; one that was asked for by name is."""
    profiles = read()
    if name not in profiles and asked:
        there = f"There are: {', '.join(sorted(profiles))}." if profiles else "There is none yet."
        raise Failure(
            "NO_PROFILE", f"There is no profile {name}. {there}", f"Run: gatehouse sync configure --profile {name}."
        )
    return profiles.get(name)
