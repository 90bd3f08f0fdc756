"""What the caller of a request may do, and how much is used. The rules are in domain.entitlements."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import clock
from auth.context import Caller
from db.session import Readable, Row
from domain.decisions import Decision, Quota
from domain.entitlements import decide, quota_of
from domain.plans import Feature, Plan, Plans
from domain.usage import Usage, Used, overview, usages

__all__ = ["Decision", "Entitlements", "Feature", "Plan", "Plans", "Quota", "Usage"]


class Entitlements:
    """One for each request. Usage is read once, in one statement, and again after `forget`."""

    def __init__(self, caller: Caller, plans: Plans, rows: Callable[[Readable], Awaitable[Sequence[Row]]]) -> None:
        self.plans = plans
        self._caller = caller
        self._rows = rows
        self._usage: tuple[datetime, Mapping[str, Usage]] | None = None
        self._lock = asyncio.Lock()

    async def decide(self, feature: Feature) -> Decision:
        """Why it is allowed or refused, for anybody: nobody and disabled accounts get an explanation too."""
        standing = await self._caller.standing()
        if not (standing.signed_in and standing.active):
            return decide(self.plans, standing, feature, 0, clock.now())
        now, usage = await self._overview()
        return decide(self.plans, standing, feature, usage[feature.key].counted, now)

    async def all(self) -> list[Decision]:
        """The decision on every feature, in the order of the plans."""
        return [await self.decide(feature) for feature in self.plans.features.values()]

    async def plan(self) -> Plan:
        """The plan that the stored tier stands for."""
        return self.plans.of((await self._caller.actor()).tier)

    async def quota(self, name: str) -> Quota:
        """What is used and left of a feature that is counted."""
        standing, feature = (await self._caller.actor()).standing, self.plans.features[name]
        now, usage = await self._overview()
        quota = quota_of(self.plans, standing, feature, usage[name].counted, now)
        assert quota is not None  # a switch has none
        return quota

    async def usage(self, name: str) -> Usage:
        """What the account has used of a feature."""
        _, usage = await self._overview()
        return usage[name]

    def forget(self) -> None:
        """A mutation may have changed it."""
        self._usage = None

    async def _overview(self) -> tuple[datetime, Mapping[str, Usage]]:
        """What is used of each feature, and the moment it was read at: decisions on it are of that moment."""
        actor = await self._caller.actor()
        async with self._lock:
            if self._usage is None:
                self._usage = await self._read(actor.user_id)
            return self._usage

    async def _read(self, user_id: UUID) -> tuple[datetime, Mapping[str, Usage]]:
        foreseen = await self._caller.foreseen("usage")
        if foreseen is not None:
            return foreseen.at, usages(self.plans, map(Used._make, foreseen.row.usage or ()))
        now = clock.now()
        return now, usages(self.plans, await self._rows(overview(user_id, now)))
