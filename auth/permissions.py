"""Guards of fields: permission classes that raise what they refuse. What they ask is decided in auth.context.

Strawberry keeps one instance of a permission for all callers of a field, so none of them keeps anything on `self`.
"""

from abc import abstractmethod
from functools import cache
from typing import Any, ClassVar

from strawberry import Info
from strawberry.permission import BasePermission

import errors
from auth.context import Caller
from domain import admission
from domain.actor import Actor


class Guard(BasePermission):
    """A permission that raises an `AppError` of its own, so that the client learns which rule refused."""

    async def has_permission(self, source: Any, info: Info[Any, Any], **kwargs: Any) -> bool:
        caller: Caller = info.context.caller
        self.judge(caller.known_actor or await caller.actor())
        return True

    def has_permission_at_once(self, source: Any, info: Info[Any, Any]) -> bool | None:
        """The same where the account is known already, for plans of the engine; None where it is not."""
        actor = info.context.caller.known_actor
        if actor is None:
            return None
        self.judge(actor)
        return True

    @abstractmethod
    def judge(self, actor: Actor) -> None:
        """Raise unless `actor`, an account in good standing, may use the field."""


class IsAuthenticated(Guard):
    """Signed in, by session or by key, with an account in good standing."""

    def judge(self, actor: Actor) -> None:
        pass


class IsSession(Guard):
    """Signed in as a person: an API key does not do."""

    def judge(self, actor: Actor) -> None:
        if not actor.by_session:
            raise errors.Forbidden("An API key cannot do this. Sign in and use the token of your session.")


class HasValidatedInvite(Guard):
    """Let in by an invite code, or the gate is lifted."""

    def judge(self, actor: Actor) -> None:
        refusal = admission.refusal(actor.standing)
        if refusal:
            raise refusal


class WithinTier(BasePermission):
    """The plan includes `feature` and there is some left. Made by `within_tier`."""

    feature: ClassVar[str]

    async def has_permission(self, source: Any, info: Info[Any, Any], **kwargs: Any) -> bool:
        entitlements = info.context.entitlements
        decision = await entitlements.decide(entitlements.plans.features[self.feature])
        if not decision.allowed:
            raise decision.error()
        return True


@cache
def within_tier(feature: str) -> type[WithinTier]:
    """A guard for what needs some of `feature` left: `within_tier("portfolios")`.

    On a mutation it is judged in its transaction, after the idempotency look-up, so that a retry of the last one that
    was allowed gets its outcome.
    """
    name = "WithinTier" + feature[0].upper() + feature[1:]
    return type(name, (WithinTier,), {"feature": feature, "__doc__": f"Some of {feature} is left."})


@cache
def has_scope(scope: str) -> type[Guard]:
    """A guard for fields that API keys with `scope` may use; sessions pass. `has_scope("scans:write")`."""

    def judge(_self: Guard, actor: Actor) -> None:
        if not actor.may(scope):
            raise errors.Forbidden(f"This API key lacks the scope {scope}. Create one that has it.")

    name = "HasScope" + "".join(part.title() for part in scope.split(":"))
    return type(name, (Guard,), {"judge": judge, "__doc__": f"An API key needs the scope {scope}."})


@cache
def strangers_or(guard: type[Guard]) -> type[BasePermission]:
    """`guard`, which nobody and who is shut out pass: for what explains to them why they may not go on."""

    async def has_permission(_self: BasePermission, _source: Any, info: Info[Any, Any], **_kwargs: Any) -> bool:
        standing = await info.context.caller.standing()
        if standing.signed_in and standing.active:
            guard().judge(await info.context.caller.actor())
        return True

    members = {"has_permission": has_permission, "__doc__": guard.__doc__}
    return type(f"StrangersOr{guard.__name__}", (BasePermission,), members)
