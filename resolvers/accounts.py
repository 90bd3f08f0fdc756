"""Queries and mutations of the caller's own account."""

import strawberry

import domain
from auth.permissions import IsAuthenticated, IsSession, has_scope
from domain.refusal import Refused
from engine import AT_ONCE
from resolvers.mutation import Work, mutation
from schema.accounts import (
    OWN_USER_AT_ONCE,
    UpdateProfileInput,
    UpdateProfilePayload,
    User,
    ValidateInviteInput,
    ValidateInvitePayload,
    own_user,
)
from schema.context import Info


@strawberry.type
class AccountsQuery:
    @strawberry.field(
        permission_classes=[IsAuthenticated, has_scope("account:read")],
        metadata={AT_ONCE: OWN_USER_AT_ONCE},
        description="The caller's account. An invite is not needed; an API key needs the scope account:read.",
    )
    async def me(self, info: Info) -> User | None:
        return await own_user(info)


@strawberry.type
class AccountsMutation:
    @mutation(
        IsAuthenticated,
        IsSession,
        description="Let the account in with an invite code. Ten wrong codes an hour, then it waits.",
    )
    async def validate_invite(self, work: Work, input: ValidateInviteInput) -> ValidateInvitePayload | Refused:
        beta_code = work.services.beta_code
        refused = await domain.invites.validate(
            work.session, work.actor, input.code, beta_code.get_secret_value() if beta_code else None
        )
        return refused or ValidateInvitePayload(user_id=work.actor.user_id)

    @mutation(IsAuthenticated, IsSession, description="Change the name or the username.")
    async def update_profile(self, work: Work, input: UpdateProfileInput) -> UpdateProfilePayload:
        await domain.accounts.update_profile(work.session, work.actor, input.given())
        return UpdateProfilePayload(user_id=work.actor.user_id)
