"""What an account has used and how much it may, as clients see it. What counts is decided in domain."""

from datetime import date, datetime
from typing import Annotated

import strawberry

from auth.entitlements import Used
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
    scans_today: int = strawberry.field(description="Scans begun today, in UTC.")
    scans_this_month: int = strawberry.field(description="Scans begun in this calendar month, in UTC.")
    scans_total: int = strawberry.field(description="Scans ever begun, those that were deleted since included.")
    ai_messages: Quota = strawberry.field(description="AI messages of this calendar month.")
    portfolios: Quota = strawberry.field(description="Portfolios that exist now.")

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
    max_portfolios: int | None = strawberry.field(description="How many portfolios it may have; null without limit.")
    max_ai_messages: int | None = strawberry.field(
        description="How many AI messages it may send in a calendar month; null without limit."
    )
    ai_messages_used: int = strawberry.field(description="AI messages sent this month.")
    ai_messages_remaining: int | None = strawberry.field(
        description="AI messages left this month, never below 0; null without limit."
    )
    ai_messages_reset_at: datetime | None = strawberry.field(
        description="When the next month begins, in UTC, and with it a new quota."
    )


def usage_of(used: Used) -> Usage:
    """What the caller has used."""
    scans = used.usage["scans"]
    return Usage(
        scans_today=scans.today,
        scans_this_month=scans.this_month,
        scans_total=scans.total,
        ai_messages=Quota.of(used.quota("aiMessages")),
        portfolios=Quota.of(used.quota("portfolios")),
    )


def limits_of(used: Used) -> Limits:
    """How much the caller may, and has left."""
    messages = used.quota("aiMessages")
    return Limits(
        max_portfolios=used.limit("portfolios"),
        max_ai_messages=messages.limit,
        ai_messages_used=messages.used,
        ai_messages_remaining=messages.remaining,
        ai_messages_reset_at=messages.resets_at,
    )
