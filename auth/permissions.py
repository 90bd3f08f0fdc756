"""Guards of fields: permission classes that raise what they refuse. What they ask is decided in auth.context.

Strawberry keeps one instance of a permission for all callers of a field, so none of them keeps anything on `self`.
"""

from abc import abstractmethod
from functools import cache
from typing import Any

from strawberry import Info
from strawberry.permission import BasePermission

import errors
from auth.context import Caller


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
        if not (await caller.actor()).invited:
            raise errors.InviteRequired("An invite is needed first: call validateInvite with your code.")


@cache
def has_scope(scope: str) -> type[Guard]:
    """A guard for fields that API keys with `scope` may use; sessions pass. `has_scope("scans:write")`."""

    async def refuse(_self: Guard, caller: Caller) -> None:
        scopes = (await caller.actor()).scopes
        if scopes is not None and scope not in scopes:
            raise errors.Forbidden(f"This API key lacks the scope {scope}. Create one that has it.")

    name = "HasScope" + "".join(part.title() for part in scope.split(":"))
    return type(name, (Guard,), {"refuse": refuse, "__doc__": f"An API key needs the scope {scope}."})
