"""Usage: deciding on a spend and making it, giving back, adjusting. What allows it is in domain.entitlements."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import clock
import errors
from db import queries
from db.models import new_id
from db.queries.usage import Terms
from db.session import Bound, Row, Session
from domain import admission
from domain.actor import Actor
from domain.decisions import Quota
from domain.entitlements import decide, is_included, limit_of, period_of, quota, quota_of
from domain.plans import Plans

_ATTEMPTS = 5  # somebody else may give back between a refusal and the look at what is used


class Usage(NamedTuple):
    """What an account did with one feature, and `counted`: what its limit is compared with. Days and months are UTC."""

    today: int = 0
    this_month: int = 0
    total: int = 0
    counted: int = 0


_NONE = Usage()


class UsageRow(NamedTuple):
    """What `overview` reads of one feature, in the order of its columns."""

    feature: str
    today: int
    this_month: int
    total: int
    used_this_month: int
    used_now: int


def overview(user_id: UUID, now: datetime) -> Bound:
    """The read that `usages` reads."""
    return queries.usage.overview(user_id, now.date(), now.date().replace(day=1))


def usages(plans: Plans, rows: Iterable[Row | UsageRow]) -> dict[str, Usage]:
    """The usage of each feature of the plans."""
    found = dict.fromkeys(plans.features, _NONE)
    for row in rows:
        feature = plans.features.get(row.feature)
        if feature is not None:
            counted = row.used_this_month if feature.kind == "metered" else row.used_now
            found[feature.key] = Usage(row.today, row.this_month, row.total, counted)
    return found


Pay = Callable[[Terms], Awaitable[int | None]]
"""Spends on these terms: the counter after it, or None, and nothing written, where the limit does not allow it."""


async def spend(
    session: Session, plans: Plans, actor: Actor, feature: str, paid_for: UUID, *, pay: Pay | None = None
) -> Quota:
    """Spend one for the object `paid_for`, in the transaction of its making; what is left is returned.

    One statement where it is granted, which `pay` may run together with the making. Where it is not, the error of the
    decision that explains it. An object is paid for once: a second spend for it is an error of the caller's.
    """
    kind, now = plans.features[feature], clock.now()
    period, limit = period_of(kind, now), limit_of(plans, actor.standing, kind, now)
    for _ in range(_ATTEMPTS):
        if limit != 0 and admission.admits(actor.standing):
            terms = Terms(period=period, paid_for=paid_for, limit=limit, now=now)
            if pay is None:
                balance = await queries.usage.spend(session, actor.user_id, feature, **terms)
            else:
                balance = await pay(terms)
            if balance is not None:
                return quota(kind, balance, limit, now)
        used = await queries.usage.used(session, actor.user_id, feature, period)
        decision = decide(plans, actor.standing, kind, used, now)
        if not decision.allowed:
            raise decision.error()
    raise errors.Conflict("The quota is being spent and given back at the same time. Try again in a moment.")


async def require(session: Session, plans: Plans, actor: Actor, feature: str) -> None:
    """Raise the error of the decision unless the account may use the feature at all; nothing is spent.

    What is used is read only for that error: how much is left is decided by the spend that must follow, in one
    statement (`require_spent`).
    """
    kind, now = plans.features[feature], clock.now()
    if not is_included(plans, actor.standing, kind, now):
        used = await queries.usage.used(session, actor.user_id, feature, period_of(kind, now))
        raise decide(plans, actor.standing, kind, used, now).error()


async def nothing_to_spend(session: Session, plans: Plans, actor: Actor, feature: str) -> Quota:
    """Say that the work was found done, and paid for, already; what is used and left is returned."""
    queries.usage.settle(session, feature)
    return await quota_now(session, plans, actor, feature)


async def quota_now(session: Session, plans: Plans, actor: Actor, feature: str) -> Quota:
    """What is used and left of a feature that is counted."""
    kind, now = plans.features[feature], clock.now()
    used = await queries.usage.used(session, actor.user_id, feature, period_of(kind, now))
    left = quota_of(plans, actor.standing, kind, used, now)
    assert left is not None  # a switch has none
    return left


def require_spent(session: Session, plans: Plans, feature: str) -> None:
    """Raise unless this transaction has spent the feature, where it is counted: who promised to has forgotten it."""
    if plans.features[feature].kind != "switch" and not queries.usage.is_settled(session, feature):
        raise RuntimeError(f"within_tier({feature!r}) was declared, but nothing of it was spent.")


async def give_back(session: Session, paid_for: UUID) -> bool:
    """Return what was spent for work that failed, or for an object that is no more: to the period it was spent in.

    False when nothing was spent for it, or it was returned before. It works above the limit too, so that an account
    that was downgraded gets back below it.
    """
    return await queries.usage.give_back(session, paid_for, clock.now())


async def adjust(session: Session, plans: Plans, actor: Actor, feature: str, amount: int, *, reason: str) -> int:
    """Move an account's counter of the present period by hand, and return it; never below 0 or up over the limit."""
    kind, now = plans.features[feature], clock.now()
    balance = await queries.usage.adjust(
        session,
        actor.user_id,
        feature,
        period=period_of(kind, now),
        entry_id=new_id(),
        amount=amount,
        limit=limit_of(plans, actor.standing, kind, now),
        reason=reason,
        now=now,
    )
    if balance is None:
        raise errors.Conflict(f"{amount:+} would take {feature} below 0 or over its limit.")
    return balance
