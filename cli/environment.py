"""What commands work with: settings, development's own secrets, and a database. No command is defined here."""

import base64
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import orjson
from pydantic import SecretStr

import clock
from auth.local_issuer import LocalIssuer
from db import migrate
from db.embedded import EmbeddedPostgres, running_url
from db.session import Database
from db.url import dsn
from domain.accounts import Terms
from domain.plans import Plans
from domain.plans import load as load_plans
from sealing import Sealer
from settings import Settings, SettingsError


def load() -> Settings:
    """The settings; in development with secrets of its own for what is not set."""
    settings = Settings.load()
    clock.follow(settings.clock_file)
    check_urls(settings)
    if settings.environment != "development":
        return settings
    # Others may pass through but not look: as root, Postgres runs as another user. What is in it guards itself.
    settings.gatehouse_home.mkdir(mode=0o711, parents=True, exist_ok=True)
    made = _development_secrets(settings.gatehouse_home / "secrets.json")
    return settings.model_copy(
        update={name: SecretStr(value) for name, value in made.items() if getattr(settings, name) is None}
    )


def check_urls(settings: Settings) -> None:
    """`SettingsError` when a database's URL cannot be one; whether it can be reached shows later."""
    for name in ("database_url", "database_direct_url", "database_read_url"):
        url = getattr(settings, name)
        try:
            _ = url and dsn(url.get_secret_value())
        except ValueError as error:
            raise SettingsError(f"{name.upper()}: {error}") from None


def _development_secrets(path: Path) -> dict[str, str]:
    """Made once and kept, so that sealed keys still open after a restart."""
    if not path.exists():
        made = {
            "api_key_encryption_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "clerk_webhook_secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        draft = path.with_suffix(f".{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(made))
        try:
            # Whoever links first has made them; another process that started at the same time reads those.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    made_before: dict[str, str] = orjson.loads(path.read_bytes())
    return made_before


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """DATABASE_URL; without one the embedded Postgres, the one that `make run` has started or one for this command."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    if settings.environment == "production":
        raise SettingsError("DATABASE_URL: not set; production needs a Postgres to connect to.")
    running = running_url(_home(settings))
    if running:
        yield running
        return
    with embedded_postgres(settings) as url:
        yield url


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """The Postgres of this folder, for whoever starts it: one at a time."""
    return EmbeddedPostgres(_home(settings))


def _home(settings: Settings) -> Path:
    return settings.gatehouse_home / "pg"


def direct_url(settings: Settings, url: str) -> str:
    """Where migrations go: DATABASE_DIRECT_URL, where `url` is a transaction pooler's."""
    return settings.database_direct_url.get_secret_value() if settings.database_direct_url else url


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The migrated database, for the time of a command."""
    with database_url(settings) as url:
        opened = Database(
            url,
            pooled_by_others=settings.database_direct_url is not None,
            replicated=settings.database_read_url is not None,
        )
        try:
            if await opened.revision() != migrate.head():
                raise SettingsError("The tables are not those of this Gatehouse: run `gatehouse migrate` first.")
            yield opened
        finally:
            await opened.close()


def terms(settings: Settings) -> Terms:
    key = settings.api_key_encryption_key
    return Terms(trial_days=settings.trial_days, sealer=Sealer(key.get_secret_value()) if key else None)


def plans(settings: Settings) -> Plans:
    return load_plans(settings.plans_file, settings.upgrade_url)


def local_issuer(settings: Settings) -> LocalIssuer:
    if not settings.local_issuer:
        raise SettingsError("DEV_ISSUER_ENABLED: the local issuer is off here; sign in with your provider.")
    return LocalIssuer(settings.gatehouse_home / "issuer")
