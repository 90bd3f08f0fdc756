"""Who takes part: how each is started, and in which dialect it is asked."""

import base64
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auth.local_issuer import ISSUERS
from benchmarks.peers import postgraphile
from benchmarks.peers.environments import Environments
from benchmarks.peers.ground import ROOT, Ground
from benchmarks.peers.operations import Operation, Request
from benchmarks.peers.servers.world import VARIABLE
from settings import Settings

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`request` picks an operation's; `data` finds in an answer what the others have below `data`."""

    request: Callable[[Operation], Request]
    data: Callable[[Operation, Data], Data]
    own_ids: bool = False


GRAPHQL = Dialect(lambda operation: operation.graphql, lambda _, answer: answer["data"])
FLOOR = Dialect(lambda operation: operation.rest, lambda _, answer: answer["data"])
REST = Dialect(lambda operation: operation.rest, lambda operation, answer: {operation.root: answer})
POSTGRAPHILE = Dialect(
    lambda operation: operation.postgraphile,
    lambda operation, answer: postgraphile.read(operation.root, answer["data"]),
    own_ids=True,
)


@dataclass(frozen=True, slots=True)
class Contestant:
    """`command` starts it on a port of the loopback, in `variables` beside the few that every process has."""

    key: str
    title: str
    dialect: Dialect
    command: Callable[[Environments, int], Sequence[str]]
    variables: Callable[[Ground], Mapping[str, str]] = lambda ground: {VARIABLE: str(ground.world)}
    needs: str = ""
    """Of the environments, the one that it is installed into: `python` or `node`; empty for Gatehouse's own."""

    def environment(self, ground: Ground) -> dict[str, str]:
        """Nothing of what Gatehouse's settings may be around here."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(ROOT),
            "NODE_ENV": "production",
            **self.variables(ground),
        }


def _uvicorn(module: str, *, installed: bool = False) -> Callable[[Environments, int], Sequence[str]]:
    options = (
        *("--host", "127.0.0.1", "--loop", "uvloop", "--http", "httptools", "--ws", "none"),
        *("--no-access-log", "--no-server-header", "--log-level", "warning"),
    )

    def command(environments: Environments, port: int) -> Sequence[str]:
        python = str(environments.python) if installed else sys.executable
        application = f"benchmarks.peers.servers.{module}:app"
        return [python, "-m", "uvicorn", application, *options, "--port", str(port)]

    return command


def _node(script: str) -> Callable[[Environments, int], Sequence[str]]:
    return lambda environments, port: [str(environments.node), str(environments.node_folder / script), str(port)]


def _serve(_environments: Environments, port: int) -> Sequence[str]:
    return [str(Path(sys.executable).parent / "gatehouse"), "serve", "--workers", "1", "--port", str(port)]


def _product(engine: str | None = None) -> Callable[[Ground], Mapping[str, str]]:
    """In production, but that nobody needs an invite; tokens are those of an issuer such as Clerk."""

    def variables(ground: Ground) -> Mapping[str, str]:
        settings = {
            "ENVIRONMENT": "production",
            "CLERK_ISSUER": ISSUERS["clerk"],
            "CLERK_JWKS_URL": ground.key_set,
            "CLERK_WEBHOOK_SECRET": f"whsec_{base64.b64encode(os.urandom(24)).decode()}",
            "INVITE_CODE_ENABLED": "false",
            "GATEHOUSE_HOME": str(ground.folder),
            "DATABASE_URL": ground.url,
        }
        return settings | ({"ENGINE": engine} if engine else {})

    return variables


FLOOR_KEY = "floor"
PRODUCT_KEY = "gatehouse"
CONTESTANTS: Mapping[str, Contestant] = {
    contestant.key: contestant
    for contestant in (
        Contestant(FLOOR_KEY, "floor: Starlette route, SQL by hand", FLOOR, _uvicorn("floor")),
        Contestant(PRODUCT_KEY, "Gatehouse", GRAPHQL, _serve, _product()),
        # From the moment that there is such a setting.
        *(
            [Contestant("gatehouse-core", "Gatehouse, ENGINE=graphql-core", GRAPHQL, _serve, _product("graphql-core"))]
            if "engine" in Settings.model_fields
            else []
        ),
        Contestant("naive", "Strawberry as documented, ORM", GRAPHQL, _uvicorn("naive")),
        Contestant("tuned", "Strawberry tuned", GRAPHQL, _uvicorn("tuned")),
        Contestant("ariadne", "Ariadne", GRAPHQL, _uvicorn("with_ariadne", installed=True), needs="python"),
        Contestant(
            "fastapi", "FastAPI REST, pydantic, ORM", REST, _uvicorn("with_fastapi", installed=True), needs="python"
        ),
        Contestant("postgraphile", "PostGraphile 5", POSTGRAPHILE, _node("postgraphile.mjs"), needs="node"),
        Contestant("mercurius", "mercurius with jit", GRAPHQL, _node("mercurius.mjs"), needs="node"),
    )
}
