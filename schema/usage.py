"""What an account has used and how much it may, as clients see it. What counts is decided in domain."""

from datetime import date, datetime
from typing import Annotated

import strawberry

from errors import collect_faults
from schema.context import Info
from schema.entitlements import Quota, find_feature

MAX_DAYS = 366

FeatureName = Annotated[
    str, strawberry.argument(description="The name of a feature, such as aiMessages; case and separators are forgiven.")
]
Days = Annotated[int, strawberry.argument(description="How many days, today included: 1 to 366.")]


@strawberry.type(description="What was done on one day.")
class UsagePoint:
    day: date = strawberry.field(name="date", description="The day, in UTC.")
    count: int = strawberry.field(description="How often, less what failed.")


@strawberry.type(description="What the account has used. Deleting what was made does not lower it.")
class Usage:
    @strawberry.field(description="Scans begun today, in UTC.")
    async def scans_today(self, info: Info) -> int:
        return (await info.context.entitlements.usage("scans")).today

    @strawberry.field(description="Scans begun in this calendar month, in UTC.")
    async def scans_this_month(self, info: Info) -> int:
        return (await info.context.entitlements.usage("scans")).this_month

    @strawberry.field(description="Scans ever begun, those that were deleted since included.")
    async def scans_total(self, info: Info) -> int:
        return (await info.context.entitlements.usage("scans")).total

    @strawberry.field(description="AI messages of this calendar month.")
    async def ai_messages(self, info: Info) -> Quota:
        return Quota.of(await info.context.entitlements.quota("aiMessages"))

    @strawberry.field(description="Portfolios that exist now.")
    async def portfolios(self, info: Info) -> Quota:
        return Quota.of(await info.context.entitlements.quota("portfolios"))

    @strawberry.field(
        metadata={"at_most": MAX_DAYS},
        description="A point for each day, oldest first and today last, days without use included.",
    )
    async def history(self, info: Info, feature: FeatureName, days: Days = 30) -> list[UsagePoint]:
        with collect_faults() as faults:
            found = find_feature(info, feature, faults)
            faults.unless(1 <= days <= MAX_DAYS, "days", f"1 to {MAX_DAYS}.")
        assert found is not None  # else it was a fault
        return [UsagePoint(day=day, count=count) for day, count in await info.context.history.days(found, days)]


@strawberry.type(description="How much the account may, and has left.")
class Limits:
    @strawberry.field(description="How many portfolios it may have; null without limit.")
    async def max_portfolios(self, info: Info) -> int | None:
        return (await info.context.entitlements.quota("portfolios")).limit

    @strawberry.field(description="How many AI messages it may send in a calendar month; null without limit.")
    async def max_ai_messages(self, info: Info) -> int | None:
        return (await info.context.entitlements.quota("aiMessages")).limit

    @strawberry.field(description="AI messages sent this month.")
    async def ai_messages_used(self, info: Info) -> int:
        return (await info.context.entitlements.quota("aiMessages")).used

    @strawberry.field(description="AI messages left this month, never below 0; null without limit.")
    async def ai_messages_remaining(self, info: Info) -> int | None:
        return (await info.context.entitlements.quota("aiMessages")).remaining

    @strawberry.field(description="When the next month begins, in UTC, and with it a new quota.")
    async def ai_messages_reset_at(self, info: Info) -> datetime | None:
        return (await info.context.entitlements.quota("aiMessages")).resets_at
