"""Queries of plans, usage, and why something is allowed or refused."""

import strawberry

import errors
from auth.permissions import IsAuthenticated, has_scope, strangers_or
from engine import NEEDS
from schema.context import Info
from schema.entitlements import USUAL, Entitlement, Plan, find_feature
from schema.usage import FeatureName, Usage, usage_of


@strawberry.type
class EntitlementsQuery:
    @strawberry.field(
        permission_classes=[IsAuthenticated, has_scope("account:read")],
        metadata={NEEDS: "usage"},
        description="What the caller has used. An invite is not needed; an API key needs the scope account:read.",
    )
    async def usage(self, info: Info) -> Usage:
        return usage_of(await info.context.entitlements.used())

    @strawberry.field(
        permission_classes=[strangers_or(has_scope("account:read"))],
        metadata={NEEDS: "usage"},
        description="Whether the caller may use one more of a feature, why, and what would change the answer. "
        "It judges the account and not the credential: what needs a session is still refused to an API key. "
        "Strangers and disabled accounts get an answer too; an API key needs the scope account:read.",
    )
    async def entitlement(self, info: Info, feature: FeatureName) -> Entitlement:
        with errors.collect_faults() as faults:
            found = find_feature(info, feature, faults)
        assert found is not None  # else it was a fault
        return Entitlement.of(await info.context.entitlements.decide(found))

    @strawberry.field(
        metadata={"at_most": USUAL}, description="Every plan, the lowest first, and what it includes. Public."
    )
    async def plans(self, info: Info) -> list[Plan]:
        plans = info.context.services.plans
        return [Plan.of(plan, plans) for plan in plans.tiers]
