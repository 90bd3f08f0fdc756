"""One process of `gatehouse quota prove`: it does the steps that come in as lines of JSON and answers each with a line.

What it calls is the product's own: domain.usage, through the product's own Database.
"""

import asyncio
import sys
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.exc import IntegrityError

import clock
import domain
import errors
import logs
from db import proving
from db.models import UNLIMITED
from db.session import Database
from domain.actor import Actor, Override, Standing
from domain.plans import Feature, Plan, Plans

FEATURES = {
    "aiMessages": Feature("aiMessages", "metered", "AI messages", "AI message"),
    "portfolios": Feature("portfolios", "count", "Portfolios", "portfolio"),
}
_RETRIES = 5
_A_WHILE = timedelta(days=1)


class Worker:
    """What has been set up once, and the plans of the round."""

    def __init__(self, database: Database, at_once: int) -> None:
        self._database = database
        self._room = asyncio.Semaphore(at_once)
        self._plans: Plans | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, limits: dict[str, dict[str, int | None]], now: datetime) -> None:
        """A round: other plans, another time."""
        tiers = tuple(Plan(name, name, (), given) for name, given in limits.items())
        self._plans = Plans(FEATURES, tiers, tiers[0], None)
        clock.move(now - clock.now())

    def start(self, step: dict[str, Any]) -> None:
        task = asyncio.create_task(self._answer(step))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, step: dict[str, Any]) -> None:
        async with self._room:
            try:
                async with asyncio.timeout(step["cancel_after"]):
                    outcome = await self._insist(step)
            except TimeoutError:
                outcome = {"outcome": "timed out"}
        sys.stdout.buffer.write(orjson.dumps({"id": step["id"], **outcome}) + b"\n")
        sys.stdout.buffer.flush()

    async def _insist(self, step: dict[str, Any]) -> dict[str, Any]:
        """Do the step, again where the database was out of reach or the same step was at work a moment ago."""
        reason = ""
        for _ in range(_RETRIES):
            try:
                return await self._do(step)
            except (errors.ServiceUnavailable, errors.Conflict, IntegrityError) as error:
                (reason, *_) = f"{step['deed']}: {error.__cause__ or error}".splitlines()
                await asyncio.sleep(0.05)
        return {"outcome": "failed", "reason": reason}

    async def _do(self, step: dict[str, Any]) -> dict[str, Any]:
        match step["deed"]:
            case "spend":
                return await self._spend(step)
            case "return":
                return await self._give_back(step)
            case "adjust":
                return await self._adjust(step)
            case "attack":
                return await self._attack(step)
            case _:
                return self._move(datetime.fromisoformat(step["to"]))

    async def _spend(self, step: dict[str, Any]) -> dict[str, Any]:
        work_id, feature = UUID(step["id"]), step["feature"]
        async with self._database.transaction() as session:
            if await proving.is_done(session, work_id):
                return {"outcome": "granted"}
            try:
                await domain.usage.spend(session, self._plans_now, self._actor(step), feature, work_id)
            except errors.TierLimitReached:
                return {"outcome": "refused"}
            await asyncio.sleep(step["pause"])
            limit = self._plans_now.of(step["tier"]).limits[feature]
            stated = UNLIMITED if limit is None else limit + (step["extra"] or 0)
            await proving.do(session, work_id, UUID(step["account"]), feature, stated)
        return {"outcome": "granted"}

    async def _give_back(self, step: dict[str, Any]) -> dict[str, Any]:
        async with self._database.transaction() as session:
            work_id = await proving.any_work(session, UUID(step["account"]), step["id"])
            if work_id is None:
                return {"outcome": "nothing"}
            returned = await domain.usage.give_back(session, work_id)
            await asyncio.sleep(step["pause"])
            if returned:
                await proving.undo(session, work_id)
        return {"outcome": "returned" if returned else "returned before", "work": str(work_id)}

    async def _adjust(self, step: dict[str, Any]) -> dict[str, Any]:
        actor, amount = self._actor(step), step["number"]
        try:
            async with self._database.transaction() as session:
                await domain.usage.adjust(
                    session, self._plans_now, actor, step["feature"], amount, reason="gatehouse quota prove"
                )
        except errors.Conflict:
            return {"outcome": "refused"}
        return {"outcome": "adjusted"}

    async def _attack(self, step: dict[str, Any]) -> dict[str, Any]:
        values = {"user": UUID(step["account"]), "feature": step["feature"], "now": clock.now()}
        number, owner = step["number"], step["owner"]
        if await proving.attack(self._database, number, owner=owner, values=values):
            return {"outcome": "denied"}
        return {"outcome": "failed", "reason": f"the database let through: {proving.ATTACKS[number]}"}

    def _move(self, to: datetime) -> dict[str, Any]:
        before = clock.now()
        clock.move(to - before)
        return {"outcome": "month end" if (before.year, before.month) != (to.year, to.month) else "moved"}

    @property
    def _plans_now(self) -> Plans:
        assert self._plans is not None  # a round has begun
        return self._plans

    def _actor(self, step: dict[str, Any]) -> Actor:
        """The account as its tier and override are at this step."""
        extra = step["extra"]
        overrides = (Override(step["feature"], extra, clock.now() + _A_WHILE),) if extra else ()
        standing = Standing(step["tier"], None, invited=True, overrides=overrides)
        return Actor(UUID(step["account"]), standing, None)


async def main() -> None:
    """Work until the input ends. The first line says where: `url`, `schema`, `pooled`, and how much `at_once`."""
    lines = asyncio.StreamReader(limit=2**20)
    reading = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: reading, sys.stdin)
    given = orjson.loads(await lines.readline())
    database = Database(given["url"], pooled_by_others=given["pooled"], schema=given["schema"])
    worker = Worker(database, given["at_once"])
    while line := await lines.readline():
        order = orjson.loads(line)
        if "limits" in order:
            worker.begin(order["limits"], datetime.fromisoformat(order["begins"]))
        else:
            worker.start(order)
    await database.close()


if __name__ == "__main__":
    logs.configure("error")
    asyncio.run(main())
