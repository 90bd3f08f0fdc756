"""What an operator decides for one account: its tier, and more of a feature. What that allows is in entitlements."""

from datetime import datetime
from uuid import UUID

import clock
import errors
import spelling
from db import queries
from db.models import User
from db.session import Session, announce
from domain import audit
from domain.plans import LARGEST, Feature, Plan, Plans

MAX_NOTE = 500


async def assign(session: Session, plans: Plans, user_id: UUID, tier: str) -> Plan:
    """Move an account to a tier, by its name or an alias; the name is what is stored."""
    plan = plans.named(tier)
    if plan is None:
        raise errors.NotFound(f"There is no tier {tier}: one of {', '.join(plan.tier for plan in plans.tiers)}.")
    user = await _user(session, user_id)
    if user.tier != plan.tier:
        audit.record(session, user.id, "tier.set", before=user.tier, after=plan.tier)
        user.tier = plan.tier
        user.updated_at = clock.now()
        # A rule after this one in the same transaction reads the account anew.
        await session.flush()
        announce(session, user.id)
    return plan


async def grant(
    session: Session,
    plans: Plans,
    user_id: UUID,
    feature: str,
    *,
    extra: int | None,
    until: datetime | None,
    note: str | None,
) -> Feature:
    """Give an account `extra` of a feature above its limit (None: all limits off) until a moment (None: for good).

    It takes the place of what was granted of this feature before. `BadUserInput` with all that is wrong with it.
    """
    known, now = _feature(plans, feature), clock.now()
    with errors.collect_faults() as faults:
        switch = known.kind == "switch" and extra is not None
        faults.unless(not switch, "extra", f"{known.key} is a switch: grant it without limit, which switches it on.")
        faults.unless(extra is None or 1 <= extra <= LARGEST, "extra", f"From 1 to {LARGEST} may be granted.")
        past = until is not None and until <= now
        faults.unless(not past, "until", "This grant would have ended already. Name a moment in the future.")
        faults.unless(note is None or len(note) <= MAX_NOTE, "note", f"A note has at most {MAX_NOTE} characters.")
    user = await _user(session, user_id)
    await queries.usage.set_override(session, user.id, known.key, extra=extra, until=until, note=note, now=now)
    ends = spelling.moment(until) if until else None
    audit.record(session, user.id, "override.set", feature=known.key, extra=extra, until=ends)
    announce(session, user.id)
    return known


async def withdraw(session: Session, plans: Plans, user_id: UUID, feature: str) -> Feature:
    """Take back what was granted of a feature; `NotFound` when nothing was."""
    known = _feature(plans, feature)
    if not await queries.usage.remove_override(session, user_id, known.key):
        raise errors.NotFound(f"Nothing was granted of {known.key}.")
    audit.record(session, user_id, "override.removed", feature=known.key)
    announce(session, user_id)
    return known


def _feature(plans: Plans, name: str) -> Feature:
    feature = plans.feature(name)
    if feature is None:
        raise errors.NotFound(f"There is no feature {name}: one of {', '.join(plans.features)}.")
    return feature


async def _user(session: Session, user_id: UUID) -> User:
    user = await queries.accounts.user_for_update(session, user_id)
    if user is None:
        raise errors.NotFound("There is no such user.")
    return user
