"""What contestants with resolvers of their own read and write, as records of asyncpg: one statement for each thing."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from benchmarks.peers.servers import statements
from benchmarks.peers.servers.spelled import cursor, global_id
from benchmarks.peers.servers.world import World, open_pool

Data = Mapping[str, Any]

_MAKE_SCAN = statements.make_scan()


class Rows:
    """Shaped as the schema has it, by names in snake case. `open` before, and `close` after, with the loop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pool: Any = None

    async def open(self) -> None:
        self._pool = await open_pool(self._world)

    async def close(self) -> None:
        await self._pool.close()

    async def me(self, subject: str) -> Data | None:
        row = await self._pool.fetchrow(statements.ME, self._world.issuer, subject)
        if row is None:
            return None
        return {
            **row,
            "key": row["id"],
            "id": global_id("User", row["id"]),
            "trial": {"ends_at": row["trial_ends_at"]},
            "limits": self._world.limits_of(row["tier"], row["used"]),
        }

    async def portfolio_count(self, user_id: UUID) -> int:
        count: int = await self._pool.fetchval(statements.PORTFOLIO_COUNT, user_id)
        return count

    async def scans(self, subject: str, first: int) -> Data:
        rows = await self._pool.fetch(statements.SCANS, self._world.issuer, subject, first + 1)
        tag = self._world.scans_tag
        edges = [{"cursor": cursor(tag, row["created_at"], row["id"]), "node": _scan(row)} for row in rows[:first]]
        return {
            "edges": edges,
            "page_info": {"has_next_page": len(rows) > first, "end_cursor": edges[-1]["cursor"] if edges else None},
        }

    async def scan_count(self, subject: str) -> int:
        count: int = await self._pool.fetchval(statements.SCAN_COUNT, self._world.issuer, subject)
        return count

    async def portfolios(self, subject: str, first: int) -> Data:
        rows = await self._pool.fetch(statements.PORTFOLIOS, self._world.issuer, subject, first)
        return {"edges": [{"node": {**row, "key": row["id"], "id": global_id("Portfolio", row["id"])}} for row in rows]}

    async def positions(self, asked: Sequence[tuple[UUID, int]]) -> list[Data]:
        """For each portfolio its connection; all of them ask for the same number, as they are in one selection."""
        portfolios, first = [key for key, _ in asked], max(first for _, first in asked)
        found: dict[UUID, list[Data]] = {key: [] for key in portfolios}
        for row in await self._pool.fetch(statements.POSITIONS, portfolios, first):
            found[row["portfolio_id"]].append({"node": {**row, "id": global_id("Position", row["id"])}})
        return [{"edges": found[key]} for key in portfolios]

    async def create_scan(self, subject: str, told: Data) -> Data:
        values = (told["tool"], told["target"], told["status"], told["started_at"], told["finished_at"])
        row = await self._pool.fetchrow(_MAKE_SCAN, self._world.issuer, subject, uuid7(), *values, datetime.now(UTC))
        return {"scan": {**row, "id": global_id("Scan", row["id"])}}


def _scan(row: Data) -> Data:
    columns = dict(row)
    return {**columns, "id": global_id("Scan", row["id"]), "finding_counts": columns}
