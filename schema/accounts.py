"""The account as its owner sees it, and the inputs and payloads of its mutations."""

import math
import re
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import strawberry

import clock
from auth.permissions import has_scope
from db import queries
from db.models import USERNAME, USERNAME_RULE
from engine import LATER, NEEDS, AtOnce
from errors import Faults, NotFound
from schema.api_keys import ApiKey
from schema.context import Info
from schema.entitlements import USUAL, Entitlement, Plan
from schema.inputs import MutationInput, check_text
from schema.node import Node
from schema.pagination import COUNTED, After, Before, Connection, First, Last, connect
from schema.payloads import Payload
from schema.portfolios import Portfolio, portfolios_page
from schema.scans import Scan, scans_page
from schema.scans_inputs import ScanFilter, ScanOrder
from schema.usage import Limits, Usage, limits_of, usage_of

MAX_INVITE_CODE = 100
MAX_FULL_NAME = 200


@strawberry.type(description="The trial that a new account begins with.")
class Trial:
    ends_at: datetime = strawberry.field(description="When it ends, or ended.")

    @strawberry.field(description="Days that are left, a begun one counted whole; 0 once it has ended.")
    def days_remaining(self) -> int:
        return max(0, math.ceil((self.ends_at - clock.now()) / timedelta(days=1)))

    @strawberry.field(description="Whether it is still running.")
    def active(self) -> bool:
        return clock.now() < self.ends_at


@strawberry.type(description="An account, as its owner sees it.")
class User(Node):
    email: str | None = strawberry.field(description="The address, once the provider has told it.")
    full_name: str | None = strawberry.field(description="The name, from the provider or as edited.")
    username: str | None = strawberry.field(description="Unique over all accounts; lower case.")
    image_url: str | None = strawberry.field(description="A picture at the provider.")
    tier: str = strawberry.field(description="The stored tier, such as free, paid or enterprise.")
    invite_validated: bool = strawberry.field(description="Whether an invite code has let this account in.")
    trial_ends_at: strawberry.Private[datetime]
    created_at: datetime = strawberry.field(description="When the account was first seen.")

    @strawberry.field(description="What the tier includes.")
    async def plan(self, info: Info) -> Plan:
        return Plan.of(await info.context.entitlements.plan(), info.context.services.plans)

    @strawberry.field(description="The trial that the account began with.")
    def trial(self) -> Trial | None:
        return Trial(ends_at=self.trial_ends_at)

    @strawberry.field(
        metadata={NEEDS: "usage"}, description="How much it may, and has left: plan, trial and grants together."
    )
    def limits(self, info: Info) -> Limits:
        return info.context.entitlements.tell(limits_of)

    @strawberry.field(metadata={NEEDS: "usage"}, description="What it has used.")
    def usage(self, info: Info) -> Usage:
        return info.context.entitlements.tell(usage_of)

    @strawberry.field(
        metadata={"at_most": USUAL, NEEDS: "usage"},
        description="For each feature whether one more may be used, why, and what would change that.",
    )
    async def entitlements(self, info: Info) -> list[Entitlement]:
        return [Entitlement.of(decision) for decision in await info.context.entitlements.all()]

    @strawberry.field(metadata={**COUNTED, NEEDS: "portfolio_count"}, description="How many portfolios there are.")
    def portfolio_count(self, info: Info) -> int:
        known = info.context.caller.known("portfolio_count")
        if known is not None and known.row.id == self.pk:
            return int(known.row.portfolio_count)
        # Awaited by whoever executes; the signature of a field cannot say that it may be.
        return cast("int", info.context.read.count(queries.portfolios.PORTFOLIOS_OF_USER, self.pk))

    @strawberry.field(description="The oldest portfolio; null where there is none.")
    async def default_portfolio(self, info: Info) -> Portfolio | None:
        rows = await info.context.read.children(queries.portfolios.DEFAULT_OF_USER, self.pk)
        return Portfolio.from_row(rows[0]) if rows else None

    @strawberry.field(description="The portfolios, the oldest first.")
    def portfolios(
        self, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Portfolio]:
        return connect(Portfolio, portfolios_page(first, after, last, before), self.pk)

    @strawberry.field(
        permission_classes=[has_scope("scans:read")],
        description="The scans, the newest first unless ordered otherwise. An API key needs the scope scans:read.",
    )
    def scans(
        self,
        *,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: ScanFilter | None = None,
        order_by: ScanOrder | None = None,
    ) -> Connection[Scan]:
        return connect(Scan, scans_page(first, after, last, before, filter=filter, order_by=order_by), self.pk)

    @strawberry.field(description="The API keys: working ones first, newest first, at most 100.")
    async def api_keys(self, info: Info) -> list[ApiKey]:
        rows = await info.context.read.children(queries.api_keys.OF_USER, self.pk)
        return [ApiKey.from_row(row) for row in rows]


async def own_user(info: Info) -> User:
    """The caller's own account; it can only be gone if it went during this request."""
    actor = await info.context.caller.actor()
    foreseen = await info.context.caller.foreseen()
    row = foreseen.row if foreseen else await info.context.read.row(queries.accounts.profile(actor.user_id))
    if row is None:
        raise NotFound("This account does not exist any more.")
    return User.from_row(row)


def _own_user_as_foreseen(info: Info, _nothing: None) -> Any:
    foreseen = info.context.caller.known()
    return LATER if foreseen is None else User.from_row(foreseen.row)


OWN_USER_AT_ONCE = AtOnce(lambda: None, _own_user_as_foreseen)
"""`own_user` where it was read together with the caller's standing."""


@strawberry.type
class _OwnAccountPayload(Payload):
    user_id: strawberry.Private[UUID]

    @strawberry.field(description="The account, as it is now.")
    async def user(self, info: Info) -> User:
        return await own_user(info)


@strawberry.type(description="The account that was let in.")
class ValidateInvitePayload(_OwnAccountPayload):
    pass


@strawberry.type(description="The account after the change.")
class UpdateProfilePayload(_OwnAccountPayload):
    pass


@strawberry.input(description="An invite code.")
class ValidateInviteInput(MutationInput):
    code: str = strawberry.field(description="The code, in any case; blanks around it do not count.")

    def check_fields(self, faults: Faults) -> None:
        check_text(faults, "code", self.code, longest=MAX_INVITE_CODE)


@strawberry.input(description="What to change; what is left out stays as it is.")
class UpdateProfileInput(MutationInput):
    full_name: str | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 200 characters; null clears it. Providers leave it alone then."
    )
    username: str | None = strawberry.field(
        default=strawberry.UNSET,
        description=USERNAME_RULE,
    )

    def check_fields(self, faults: Faults) -> None:
        changes = self.given()
        faults.unless(bool(changes), "input", "Something to change: fullName, username or both.")
        if changes.get("full_name") is not None:
            check_text(faults, "full_name", changes["full_name"], longest=MAX_FULL_NAME)
        if "username" in changes:
            username = changes["username"]
            fits = username is not None and re.fullmatch(USERNAME, username)
            faults.unless(bool(fits), "input.username", USERNAME_RULE)
