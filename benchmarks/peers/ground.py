"""What a run stands on: a full database, a folder, keys and tokens, and the file that tells contestants of them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg

import clock
from auth.local_issuer import ISSUERS, LocalIssuer
from benchmarks.peers import dataset, meters
from benchmarks.peers.dataset import Scale
from benchmarks.peers.servers.world import World
from db import migrate, queries
from db.queries.paging import order_of
from domain import plans

ROOT = Path(__file__).resolve().parents[2]
_TOKEN_LIFE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Ground:
    """`key_set` is the URL of the keys that tokens are signed with."""

    url: str
    key_set: str
    folder: Path
    scale: Scale
    postmaster: int
    """The process that all others of this Postgres are children of."""
    version: str

    @property
    def world(self) -> Path:
        return self.folder / "world.json"

    def token(self, number: int) -> str:
        """A session of the user with this number; each call gives another token."""
        issuer = LocalIssuer(self.folder / "issuer")
        return issuer.sign("clerk", dataset.subject(number), expires_in=_TOKEN_LIFE)


@contextmanager
def prepared(url: str, folder: Path, scale: Scale) -> Iterator[Ground]:
    """Migrate and fill the database at `url`, and write down what contestants need to know.

    As long as the block runs, the keys are published for those that look there.
    """
    jwks = LocalIssuer(folder / "issuer").jwks("clerk")
    with _published(jwks) as key_set:
        ground = Ground(url, key_set, folder, scale, *asyncio.run(_fill(url, scale)))
        _tell(ground, jwks)
        yield ground


def _tell(ground: Ground, jwks: dict[str, Any]) -> None:
    world = World(
        database_url=ground.url,
        jwks=jwks,
        issuer=ISSUERS["clerk"],
        scans_tag=order_of(queries.scans.SCANS_OF_USER["DATE", True]).tag,
        limits={plan.tier: (plan.limits["portfolios"], plan.limits["aiMessages"]) for plan in plans.load(None).tiers},
    )
    ground.world.write_text(json.dumps(asdict(world)))


@contextmanager
def _published(jwks: dict[str, Any]) -> Iterator[str]:
    """A server on the loopback that tells the keys, as an issuer's does."""
    body = json.dumps(jwks).encode()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "public, max-age=3600")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        finally:
            server.shutdown()
            thread.join()


async def _fill(url: str, scale: Scale) -> tuple[int, str]:
    """Postmaster, and version of Postgres."""
    await migrate.migrate(url)
    await dataset.fill(url, scale, ISSUERS["clerk"], clock.now())
    connection: Any = await asyncpg.connect(url)
    try:
        version: str = await connection.fetchval("show server_version")
        return meters.parent(connection.get_server_pid()), version
    finally:
        await connection.close()
