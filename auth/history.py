"""What the caller of a request did, day by day. What is used of a limit is in auth.entitlements."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, timedelta

from strawberry.dataloader import DataLoader

import clock
from auth.context import Caller
from db import queries
from db.session import Readable, Row
from domain.plans import Feature

_ByFeature = Mapping[str, Mapping[date, int]]


class History:
    """One for each request. Ranges that are asked for at the same time are read in one statement."""

    def __init__(self, caller: Caller, rows: Callable[[Readable], Awaitable[Sequence[Row]]]) -> None:
        self._caller = caller
        self._rows = rows
        self._since: DataLoader[date, _ByFeature] | None = None

    async def days(self, feature: Feature, days: int) -> list[tuple[date, int]]:
        """Each of so many days in UTC, the oldest first and today last, and how often the feature was used on it."""
        since = clock.now().date() - timedelta(days=days - 1)
        if self._since is None:
            self._since = DataLoader(load_fn=self._read)
        counts = (await self._since.load(since)).get(feature.key, {})
        return [(day, counts.get(day, 0)) for day in (since + timedelta(days=number) for number in range(days))]

    def forget(self) -> None:
        """A mutation may have changed it."""
        self._since = None

    async def _read(self, sinces: list[date]) -> list[_ByFeature]:
        """The longest range has the others in it."""
        actor = await self._caller.actor()
        found: defaultdict[str, dict[date, int]] = defaultdict(dict)
        for feature, day, count in await self._rows(queries.usage.history(actor.user_id, min(sinces))):
            found[feature][day] = count
        return [found] * len(sinces)
