"""What a decision consists of, and the error that a refusal is. How one comes about is in domain.entitlements."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

import errors
import spelling
from domain.plans import Feature


class Rule(StrEnum):
    """What is checked, in this order."""

    SIGNED_IN = "SIGNED_IN"
    ACTIVE = "ACTIVE"
    INVITE = "INVITE"
    PLAN = "PLAN"
    OVERRIDE = "OVERRIDE"
    TRIAL = "TRIAL"
    QUOTA = "QUOTA"


class RemedyKind(StrEnum):
    """What would change the answer."""

    SIGN_IN = "SIGN_IN"
    USE_INVITE = "USE_INVITE"
    CONTACT_OPERATOR = "CONTACT_OPERATOR"
    UPGRADE = "UPGRADE"
    WAIT = "WAIT"
    DELETE = "DELETE"


REFUSALS: Mapping[Rule, type[errors.AppError]] = {
    Rule.SIGNED_IN: errors.Unauthenticated,
    Rule.ACTIVE: errors.AccountDisabled,
    Rule.INVITE: errors.InviteRequired,
}
"""What a failed check is refused with; the others with `TierLimitReached`."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: whether it stands in the way, and what was found, for people."""

    rule: Rule
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """A way out of one failed check. `tier`, `url`: of an upgrade; `available_at`: of a wait."""

    kind: RemedyKind
    rule: Rule
    message: str
    tier: str | None = None
    available_at: datetime | None = None
    url: str | None = None


class Quota(NamedTuple):
    """How much of a counted feature is used. None: without limit; never reset."""

    feature: str
    used: int
    limit: int | None
    remaining: int | None
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Allowed, or refused with `code`. `message` is for people: what is so, and for a refusal what to do about it."""

    feature: Feature
    tier: str
    allowed: bool
    code: str | None
    message: str
    quota: Quota | None
    checks: tuple[Check, ...]
    remedies: tuple[Remedy, ...]

    def error(self) -> errors.AppError:
        """The refusal as an error; `ValueError` when there is none."""
        failed = next((check.rule for check in self.checks if not check.passed), None)
        if failed is None:
            raise ValueError(f"{self.feature.key} is allowed.")
        if failed in REFUSALS:
            return REFUSALS[failed](self.message)
        quota = self.quota or Quota(self.feature.key, used=0, limit=0, remaining=0, resets_at=None)
        return errors.TierLimitReached(
            self.message,
            feature=self.feature.key,
            tier=self.tier,
            limit=quota.limit,
            used=quota.used,
            remaining=quota.remaining,
            resetsAt=quota.resets_at and spelling.moment(quota.resets_at),
            remedies=[_extension(remedy) for remedy in self.remedies],
        )


def _extension(remedy: Remedy) -> dict[str, Any]:
    return {
        "kind": remedy.kind.value,
        "rule": remedy.rule.value,
        "message": remedy.message,
        "tier": remedy.tier,
        "availableAt": remedy.available_at and spelling.moment(remedy.available_at),
        "url": remedy.url,
    }
