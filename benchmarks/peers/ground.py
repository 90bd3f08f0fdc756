"""What a run stands on: a full database, a folder, keys and tokens, and the file that tells contestants of them."""

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
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
    """`folder` is GATEHOUSE_HOME as well, so that the product knows the keys that tokens are signed with."""

    url: str
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


def prepare(url: str, folder: Path, scale: Scale) -> Ground:
    """Migrate and fill the database at `url`, and write down what contestants need to know."""
    ground = Ground(url, folder, scale, *asyncio.run(_fill(url, scale)))
    world = World(
        database_url=url,
        jwks=LocalIssuer(folder / "issuer").jwks("clerk"),
        issuer=ISSUERS["clerk"],
        scans_tag=order_of(queries.scans.SCANS_OF_USER["DATE", True]).tag,
        limits={plan.tier: (plan.limits["portfolios"], plan.limits["aiMessages"]) for plan in plans.load(None).tiers},
    )
    ground.world.write_text(json.dumps(asdict(world)))
    return ground


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
