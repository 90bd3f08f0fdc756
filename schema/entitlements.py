"""Plans, and why something is allowed or refused, as clients see it. What is so is decided in domain."""

from datetime import datetime
from enum import Enum
from typing import Any, Self

import strawberry

import spelling
from auth import entitlements as known
from errors import Faults
from schema.context import Info
from schema.payloads import Payload

USUAL = 20
"""How many features or plans there are at most, as the cost of a document is measured."""


@strawberry.enum(description="How a feature is counted.")
class FeatureKind(Enum):
    SWITCH = strawberry.enum_value("switch", description="On or off.")
    COUNT = strawberry.enum_value("count", description="Objects that exist now; deleting one makes room.")
    METERED = strawberry.enum_value("metered", description="Units used in a calendar month, in UTC.")


@strawberry.enum(description="What is checked, in this order.")
class EntitlementRule(Enum):
    SIGNED_IN = strawberry.enum_value("SIGNED_IN", description="Somebody is signed in.")
    ACTIVE = strawberry.enum_value("ACTIVE", description="The account is neither disabled nor deleted.")
    INVITE = strawberry.enum_value("INVITE", description="An invite has let the account in.")
    PLAN = strawberry.enum_value("PLAN", description="The plan includes the feature, or something else does.")
    OVERRIDE = strawberry.enum_value("OVERRIDE", description="No grant that has ended would have made the difference.")
    TRIAL = strawberry.enum_value("TRIAL", description="No trial that has ended would have made the difference.")
    QUOTA = strawberry.enum_value("QUOTA", description="Less is used than the limit.")


@strawberry.enum(description="What would change the answer.")
class RemedyKind(Enum):
    SIGN_IN = strawberry.enum_value("SIGN_IN", description="Sign in.")
    USE_INVITE = strawberry.enum_value("USE_INVITE", description="Use an invite code.")
    CONTACT_OPERATOR = strawberry.enum_value("CONTACT_OPERATOR", description="Ask whoever runs this service.")
    UPGRADE = strawberry.enum_value("UPGRADE", description="Change to the tier that is named.")
    WAIT = strawberry.enum_value("WAIT", description="Wait until the moment that is named.")
    DELETE = strawberry.enum_value("DELETE", description="Delete as many as the message says.")


@strawberry.type(description="How much of a counted feature is used.")
class Quota:
    feature: str = strawberry.field(description="The name of the feature, such as aiMessages.")
    used: int = strawberry.field(description="Units of this month, or objects that exist.")
    limit: int | None = strawberry.field(description="How many there may be; null without limit.")
    remaining: int | None = strawberry.field(description="How many are left, never below 0; null without limit.")
    resets_at: datetime | None = strawberry.field(
        description="When the next month begins; null for objects, which do not expire."
    )

    @classmethod
    def of(cls, quota: known.Quota) -> Self:
        return cls(
            feature=quota.feature,
            used=quota.used,
            limit=quota.limit,
            remaining=quota.remaining,
            resets_at=quota.resets_at,
        )


@strawberry.type
class QuotaPayload(Payload):
    """A payload that keeps the quota as its mutation left it: `XPayload(…, **XPayload.kept(quota))`."""

    quota_feature: strawberry.Private[str]
    quota_used: strawberry.Private[int]
    quota_limit: strawberry.Private[int | None]
    quota_remaining: strawberry.Private[int | None]
    quota_resets_at: strawberry.Private[str | None]

    @staticmethod
    def kept(quota: known.Quota) -> dict[str, Any]:
        """What the payload stores of a quota, by field."""
        return {
            "quota_feature": quota.feature,
            "quota_used": quota.used,
            "quota_limit": quota.limit,
            "quota_remaining": quota.remaining,
            "quota_resets_at": quota.resets_at and spelling.moment(quota.resets_at),
        }

    @strawberry.field(description="How much was used after this, and what was left; a retry is told the same.")
    def quota(self) -> Quota:
        return Quota(
            feature=self.quota_feature,
            used=self.quota_used,
            limit=self.quota_limit,
            remaining=self.quota_remaining,
            resets_at=datetime.fromisoformat(self.quota_resets_at) if self.quota_resets_at else None,
        )


@strawberry.type(description="One rule, judged.")
class EntitlementCheck:
    rule: EntitlementRule = strawberry.field(description="Which rule.")
    passed: bool = strawberry.field(description="Whether it does not stand in the way.")
    detail: str = strawberry.field(description="What was found, for people.")


@strawberry.type(description="What would let one failed check pass.")
class Remedy:
    kind: RemedyKind = strawberry.field(description="What to do.")
    rule: EntitlementRule = strawberry.field(description="The check that it mends.")
    message: str = strawberry.field(description="What to do, for people.")
    tier: str | None = strawberry.field(description="Of an upgrade: to which tier.")
    available_at: datetime | None = strawberry.field(description="Of a wait: until when.")
    url: str | None = strawberry.field(description="Of an upgrade: where, if the operator has said so.")


@strawberry.type(description="Whether one more of a feature may be used, why, and what would change the answer.")
class Entitlement:
    feature: str = strawberry.field(description="The name of the feature, such as aiMessages.")
    allowed: bool = strawberry.field(description="Whether every check has passed.")
    code: str | None = strawberry.field(
        description="The error code that using it is refused with, of the first failed check; null when allowed."
    )
    message: str = strawberry.field(description="The answer, for people; a refusal says the same.")
    quota: Quota | None = strawberry.field(
        description="How much is used; null for a switch, and for who is not signed in or is shut out."
    )
    checks: list[EntitlementCheck] = strawberry.field(
        metadata={"at_most": len(EntitlementRule)},
        description="The rules in order, as far as they can be judged.",
    )
    remedies: list[Remedy] = strawberry.field(
        metadata={"at_most": 2 * len(EntitlementRule)},
        description="For each failed check at least one; none when allowed.",
    )

    @classmethod
    def of(cls, decision: known.Decision) -> Self:
        return cls(
            feature=decision.feature.key,
            allowed=decision.allowed,
            code=decision.code,
            message=decision.message,
            quota=Quota.of(decision.quota) if decision.quota else None,
            checks=[
                EntitlementCheck(rule=EntitlementRule[check.rule.name], passed=check.passed, detail=check.detail)
                for check in decision.checks
            ],
            remedies=[
                Remedy(
                    kind=RemedyKind[remedy.kind.name],
                    rule=EntitlementRule[remedy.rule.name],
                    message=remedy.message,
                    tier=remedy.tier,
                    available_at=remedy.available_at,
                    url=remedy.url,
                )
                for remedy in decision.remedies
            ],
        )


@strawberry.type(description="How much of a feature a plan includes.")
class PlanLimit:
    feature: str = strawberry.field(description="The name of the feature, such as aiMessages.")
    title: str = strawberry.field(description="The feature, for people.")
    kind: FeatureKind = strawberry.field(description="How it is counted.")
    included: bool = strawberry.field(description="Whether there is any of it.")
    limit: int | None = strawberry.field(description="How much; null without limit, and for a switch that is on.")


@strawberry.type(description="What a tier includes.")
class Plan:
    tier: str = strawberry.field(description="The name of the tier, such as free, paid or enterprise.")
    title: str = strawberry.field(description="What to call it, for people.")
    limits: list[PlanLimit] = strawberry.field(metadata={"at_most": USUAL}, description="One for each feature.")

    @classmethod
    def of(cls, plan: known.Plan, plans: known.Plans) -> Self:
        limits = [
            PlanLimit(
                feature=feature.key,
                title=feature.title,
                kind=FeatureKind[feature.kind.upper()],
                included=plan.limits[feature.key] != 0,
                limit=plan.limits[feature.key],
            )
            for feature in plans.features.values()
        ]
        return cls(tier=plan.tier, title=plan.title, limits=limits)


def find_feature(info: Info, name: str, faults: Faults) -> known.Feature | None:
    """The feature called so; None, and a fault of the argument `feature`, where there is none."""
    plans = info.context.services.plans
    found = plans.feature(name)
    faults.unless(found is not None, "feature", f"One of {', '.join(plans.features)}.")
    return found
