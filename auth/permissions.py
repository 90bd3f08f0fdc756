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


class Guard(BasePermission):
    """A permission that raises an `AppError` of its own, so that the client learns which rule refused."""

    async def has_permission(self, source: Any, info: Info[Any, Any], **kwargs: Any) -> bool:
        await self.refuse(info.context.caller)
        return True

    @abstractmethod
    async def refuse(self, caller: Caller) -> None:
        """Raise unless `caller` may use the field."""


class IsAuthenticated(Guard):
    """Signed in, by session or by key, with an account in good standing."""

    async def refuse(self, caller: Caller) -> None:
        await caller.actor()


class IsSession(Guard):
    """Signed in as a person: an API key does not do."""

    async def refuse(self, caller: Caller) -> None:
        if not (await caller.actor()).by_session:
            raise errors.Forbidden("An API key cannot do this. Sign in and use the token of your session.")


class HasValidatedInvite(Guard):
    """Let in by an invite code, or the gate is lifted."""

    async def refuse(self, caller: Caller) -> None:
        refusal = admission.refusal((await caller.actor()).standing)
        if refusal:
            raise refusal


class WithinTier(Guard):
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

    async def refuse(_self: Guard, caller: Caller) -> None:
        if not (await caller.actor()).may(scope):
            raise errors.Forbidden(f"This API key lacks the scope {scope}. Create one that has it.")

    name = "HasScope" + "".join(part.title() for part in scope.split(":"))
    return type(name, (Guard,), {"refuse": refuse, "__doc__": f"An API key needs the scope {scope}."})


@cache
def strangers_or(guard: type[Guard]) -> type[Guard]:
    """`guard`, which nobody and who is shut out pass: for what explains to them why they may not go on."""

    async def refuse(_self: Guard, caller: Caller) -> None:
        standing = await caller.standing()
        if standing.signed_in and standing.active:
            await guard().refuse(caller)

    return type(f"StrangersOr{guard.__name__}", (Guard,), {"refuse": refuse, "__doc__": guard.__doc__})
