"""`gatehouse serve`, the production entry, and `gatehouse dev`, everything on one machine."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn
from pydantic import SecretStr
from rich.console import Console

import clock
import logs
from auth.local_issuer import ISSUERS
from cli import environment
from cli.accounts import token_of
from cli.protocol import BoundedProtocol
from db import migrate, queries
from db.session import Database
from domain import personas
from domain.accounts import DEFAULT_KEY
from settings import Settings, SettingsError

DRAIN_SECONDS = 5
"""How long requests and streams that are under way may still take after Ctrl-C or SIGTERM."""

_SERVER: dict[str, Any] = {
    "http": BoundedProtocol,
    "ws": "none",
    "log_config": None,  # logs.configure has the say
    "access_log": False,
    "proxy_headers": False,  # the application looks at them where they matter
    "server_header": False,
    "timeout_graceful_shutdown": DRAIN_SECONDS,
}

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="By default PORT, else 8000.")]


def add_to(command: typer.Typer) -> None:
    command.command()(serve)
    command.command()(dev)


def serve(
    host: Host = "127.0.0.1",
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes.")] = 1,
) -> None:
    """Serve in production: settings come from the environment alone, where ENVIRONMENT is production by default."""
    settings = Settings.of_server()
    environment.check_urls(settings)
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL: not set; `gatehouse dev` brings a Postgres of its own, `serve` does not.")
    environment.plans(settings)
    logs.configure(settings.log_level)
    # uvicorn would bury this in the log and exit with a code of its own.
    _listen(host, port or settings.port).close()
    gc.disable()  # until `app.create` has imported and made the rest of what stays
    uvicorn.run(
        "app:create",
        factory=True,
        host=host,
        port=port or settings.port,
        workers=workers,
        **_SERVER,
    )


def dev(host: Host = "127.0.0.1", port: Port = None) -> None:
    """Start everything: Postgres, migrations, personas, server; Ctrl-C stops all of it."""
    settings = environment.load()
    if settings.environment == "production":
        raise SettingsError("ENVIRONMENT: `gatehouse dev` is not for production; use `gatehouse serve`.")
    logs.configure(settings.log_level)
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.ExitStack() as stack:
        own = settings.database_url
        url = own.get_secret_value() if own else stack.enter_context(environment.embedded_postgres(settings))
        listening = stack.enter_context(_listen(host, port or settings.port))
        settings = settings.model_copy(update={"database_url": SecretStr(url)})
        asyncio.run(_prepare(settings, url))
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(settings, listening))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    # Raised rather than obeyed at once, so that the embedded Postgres is stopped on the way out.
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of TCP by name: only then does asyncio send small answers at once (TCP_NODELAY) on what it accepts.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = f"choose another one, such as PORT={port % 65535 + 1}"
        raise SettingsError(f"PORT: cannot listen on {host}:{port} ({reason}); {remedy}.") from None
    return listening


async def _prepare(settings: Settings, url: str) -> None:
    await migrate.migrate(environment.direct_url(settings, url))
    if not settings.local_issuer:
        return
    plans = environment.plans(settings)
    async with environment.database(settings) as database, database.transaction() as session:
        await personas.seed(session, ISSUERS["clerk"], environment.terms(settings), plans)


async def _serve(settings: Settings, listening: socket.socket) -> None:
    # Loads every layer, which commands without a server do not need.
    from app import create_app

    application = create_app(settings)
    config = uvicorn.Config(
        application,
        **_SERVER,
    )
    host, port = listening.getsockname()[:2]

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                await _welcome(settings, application.state.database, f"http://{host}:{port}")

    await Server(config).serve(sockets=[listening])


async def _welcome(settings: Settings, database: Database, address: str) -> None:
    """What a person needs next: where to go, as whom, and one command to paste."""
    say: Callable[[str], None] = Console(soft_wrap=True, highlight=False, markup=False).print
    say(f"\nGatehouse is running.\n\n  GraphiQL  {address}/graphql\n")
    if settings.local_issuer:
        issuer = environment.local_issuer(settings)
        tokens = {who.name: token_of(issuer, who, timedelta(hours=8)) for who in personas.PERSONAS.values()}
        say("  Tokens, good for 8 hours (gatehouse token --as NAME makes more):\n")
        for name, token in tokens.items():
            say(f"  {name}: {personas.PERSONAS[name].story}\n{token}\n")
        say(f"  API key of free\n{await _api_key(settings, database)}\n")
        say('  Headers in GraphiQL:  {"Authorization": "Bearer <token>"}\n\n  Try it:\n')
        query = '{"query": "{ me { username email tier inviteValidated } }"}'
        say(
            f"curl -s {address}/graphql -H 'Content-Type: application/json' "
            f"-H 'Authorization: Bearer {tokens['free']}' -d '{query}'\n"
        )
    sys.stdout.flush()


async def _api_key(settings: Settings, database: Database) -> str:
    """The key of the persona `free` that every account begins with; the seed has made it again where it was revoked."""
    sealer = environment.terms(settings).sealer
    async with database.transaction() as session:
        identity = await queries.accounts.identity(session, ISSUERS["clerk"], personas.PERSONAS["free"].subject)
        owner = identity.user_id if identity else None
        key = await queries.api_keys.live_named(session, owner, DEFAULT_KEY, clock.now()) if owner else None
        secret = sealer.open(key.sealed, str(key.id)) if sealer and key and key.sealed else None
    return secret or "(sealed with another API_KEY_ENCRYPTION_KEY; create one with the mutation createApiKey)"
