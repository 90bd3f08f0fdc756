"""What the caller of a request may do, and how much is used. The rules are in domain.entitlements."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar, cast
from uuid import UUID

import clock
from auth.context import Caller
from db.session import Readable, Row
from domain.actor import Standing
from domain.decisions import Decision, Quota
from domain.entitlements import decide, limit_of, quota_of
from domain.plans import Feature, Plan, Plans
from domain.usage import Usage, UsageRow, overview, usages

__all__ = ["Decision", "Entitlements", "Feature", "Plan", "Plans", "Quota", "Usage", "Used"]

T = TypeVar("T")


class Used(NamedTuple):
    """What an account in good standing has used, at a moment."""

    plans: Plans
    standing: Standing
    at: datetime
    usage: Mapping[str, Usage]

    def limit(self, name: str) -> int | None:
        """How much there may be of a feature that is counted; None without limit."""
        return limit_of(self.plans, self.standing, self.plans.features[name], self.at)

    def quota(self, name: str) -> Quota:
        """What is used and left of a feature that is counted."""
        feature = self.plans.features[name]
        quota = quota_of(self.plans, self.standing, feature, self.usage[name].counted, self.at)
        assert quota is not None  # a switch has none
        return quota


class Entitlements:
    """One for each request. Usage is read once, in one statement, and again after `forget`."""

    def __init__(self, caller: Caller, plans: Plans, rows: Callable[[Readable], Awaitable[Sequence[Row]]]) -> None:
        self.plans = plans
        self._caller = caller
        self._rows = rows
        self._usage: tuple[datetime, Mapping[str, Usage]] | None = None
        self._lock: asyncio.Lock | None = None

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

    def tell(self, make: Callable[["Used"], T]) -> T:
        """What `make` makes of what the account has used.

        At once where that was read together with the account, since a coroutine would cost the request two tasks; else
        an awaitable of it, which the signature does not say because the signature of a field cannot.
        """
        standing = self._caller.seen
        if self._usage is None and standing is not None:
            self._usage = self._foreseen()
        if self._usage is None or standing is None:
            return cast("T", self._tell(make))
        return make(Used(self.plans, standing, *self._usage))

    async def used(self) -> "Used":
        """What the account has used."""
        standing = (await self._caller.actor()).standing
        return Used(self.plans, standing, *await self._overview())

    async def _tell(self, make: Callable[["Used"], T]) -> T:
        return make(await self.used())

    def forget(self) -> None:
        """A mutation may have changed it."""
        self._usage = None

    async def _overview(self) -> tuple[datetime, Mapping[str, Usage]]:
        """What is used of each feature, and the moment it was read at: decisions on it are of that moment."""
        actor = await self._caller.actor()
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            if self._usage is None:
                self._usage = await self._read(actor.user_id)
            return self._usage

    async def _read(self, user_id: UUID) -> tuple[datetime, Mapping[str, Usage]]:
        await self._caller.actor()
        foreseen = self._foreseen()
        if foreseen is not None:
            return foreseen
        now = clock.now()
        return now, usages(self.plans, await self._rows(overview(user_id, now)))

    def _foreseen(self) -> tuple[datetime, Mapping[str, Usage]] | None:
        found = self._caller.known("usage")
        return found and (found.at, usages(self.plans, map(UsageRow._make, found.row.usage or ())))
