"""What the caller of a request may do, and how much is used. The rules are in domain.entitlements."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import clock
from auth.context import Caller
from db import queries
from db.session import Read, Row
from domain.decisions import Decision, Quota
from domain.entitlements import decide, quota_of
from domain.plans import Feature, Plan, Plans

__all__ = ["Decision", "Entitlements", "Feature", "Plan", "Plans", "Quota", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account has used of one feature. `standing`: of features that are not metered by the month."""

    today: int = 0
    this_month: int = 0
    standing: int = 0
    total: int = 0

    def counted(self, feature: Feature) -> int:
        """What counts against the limit of the feature."""
        return self.this_month if feature.kind == "metered" else self.standing


class Entitlements:
    """One for each request. Usage is read once, in one statement, and again after `forget`."""

    def __init__(self, caller: Caller, plans: Plans, rows: Callable[[Read], Awaitable[Sequence[Row]]]) -> None:
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
        return decide(self.plans, standing, feature, usage.get(feature.key, Usage()).counted(feature), now)

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
        quota = quota_of(self.plans, standing, feature, usage.get(name, Usage()).counted(feature), now)
        assert quota is not None  # a switch has none
        return quota

    async def usage(self, name: str) -> Usage:
        """What the account has used of a feature."""
        _, usage = await self._overview()
        return usage.get(name, Usage())

    def forget(self) -> None:
        """A mutation may have changed it."""
        self._usage = None

    async def _overview(self) -> tuple[datetime, Mapping[str, Usage]]:
        """What is used of each feature, and the moment it was read at: decisions on it are of that moment."""
        actor = await self._caller.actor()
        async with self._lock:
            if self._usage is None:
                now = clock.now()
                rows = await self._rows(queries.usage.overview(actor.user_id, now.date(), now.date().replace(day=1)))
                self._usage = (
                    now,
                    {row.feature: Usage(row.today, row.this_month, row.standing, row.total) for row in rows},
                )
            return self._usage
