"""API keys as clients see them, and the inputs and payloads of their mutations."""

from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

import strawberry

import clock
from auth.permissions import IsSession
from db import queries
from db.models import SCOPES
from errors import Faults, NotFound
from schema import ids
from schema.context import Info
from schema.inputs import MutationInput, check_future, check_text
from schema.node import Node
from schema.payloads import Payload

MAX_LIFETIME = timedelta(days=5 * 366)
MAX_OVERLAP_SECONDS = 7 * 24 * 60 * 60


@strawberry.type(description="A key for a command line or a server. It acts for its owner, within its scopes.")
class ApiKey(Node):
    name: str = strawberry.field(description="What its owner calls it.")
    prefix: str = strawberry.field(description="The first characters of the key, to recognise it by.")
    sealed: strawberry.Private[bytes | None]
    scopes: list[str] = strawberry.field(description="What it may do: account:read, scans:read, scans:write.")
    created_at: datetime = strawberry.field(description="When it was created.")
    last_used_at: datetime | None = strawberry.field(description="When it was last used, to the minute; null if never.")
    expires_at: datetime | None = strawberry.field(description="When it stops working; null if never.")
    revoked_at: datetime | None = strawberry.field(description="When it was revoked; null while it was not.")

    @strawberry.field(
        permission_classes=[IsSession],
        description="The whole key. Only for its owner signed in by session, and only where keys are kept sealed; "
        "else null.",
    )
    def secret(self, info: Info) -> str | None:
        return self.opened(info)

    def opened(self, info: Info) -> str | None:
        """The secret, where it is kept sealed and the sealing key has not changed. Who may see it is not asked here."""
        sealer = info.context.services.sealer
        return sealer.open(self.sealed, str(self.pk)) if sealer and self.sealed else None


async def _api_key(info: Info, key_id: UUID) -> ApiKey:
    actor = await info.context.caller.actor()
    row = await info.context.read.row(queries.api_keys.one(actor.user_id, key_id))
    if row is None:
        raise NotFound("You have no such API key.")
    return ApiKey.from_row(row)


@strawberry.type(description="The API key that was created.")
class CreateApiKeyPayload(Payload):
    transient: ClassVar[frozenset[str]] = frozenset({"fresh_secret"})

    key_id: strawberry.Private[UUID]
    fresh_secret: strawberry.Private[str | None]

    @strawberry.field(description="The new key.")
    async def api_key(self, info: Info) -> ApiKey:
        return await _api_key(info, self.key_id)

    @strawberry.field(
        description="The whole key: store it now. A retry shows it again only where keys are kept sealed; else null."
    )
    async def secret(self, info: Info) -> str | None:
        return self.fresh_secret or (await _api_key(info, self.key_id)).opened(info)


@strawberry.type(description="The API key that takes the old one's place.")
class RotateApiKeyPayload(CreateApiKeyPayload):
    pass


@strawberry.type(description="The API key that was revoked.")
class RevokeApiKeyPayload(Payload):
    key_id: strawberry.Private[UUID]

    @strawberry.field(description="The key, with the time of its revocation.")
    async def api_key(self, info: Info) -> ApiKey:
        return await _api_key(info, self.key_id)


@strawberry.input(description="A new API key.")
class CreateApiKeyInput(MutationInput):
    name: str = strawberry.field(description="What to call it: 1 to 100 characters.")
    scopes: list[str] = strawberry.field(description="What it may do: account:read, scans:read, scans:write.")
    expires_at: datetime | None = strawberry.field(default=None, description="When it stops working; null for never.")

    def check_fields(self, faults: Faults) -> None:
        check_text(faults, "name", self.name, longest=100)
        faults.unless(len(self.scopes) > 0, "input.scopes", f"At least one of {', '.join(SCOPES)}.")
        faults.unless(len(set(self.scopes)) == len(self.scopes), "input.scopes", "Each scope once.")
        for position, scope in enumerate(self.scopes[: len(SCOPES) + 1]):
            faults.unless(scope in SCOPES, f"input.scopes.{position}", f"One of {', '.join(SCOPES)}.")
        if self.expires_at is not None:
            now = clock.now()
            check_future(faults, "expires_at", self.expires_at, now=now)
            faults.unless(self.expires_at < now + MAX_LIFETIME, "input.expiresAt", "Within five years, or null.")


@strawberry.input(description="Which API key.")
class ApiKeyIdInput(MutationInput):
    id: strawberry.ID = strawberry.field(description="The global id of an API key of yours.")

    def check_fields(self, faults: Faults) -> None:
        faults.unless(ids.decode(self.id) is not None, "input.id", "Not an id of this API.")

    @property
    def key_id(self) -> UUID:
        """The key that is meant; `NotFound` for the id of something else."""
        return ids.key_of(ApiKey.__name__, self.id, called="API key")


@strawberry.input(description="Which API key to replace, and for how long the old one goes on working.")
class RotateApiKeyInput(ApiKeyIdInput):
    overlap_seconds: int = strawberry.field(
        default=86_400, description="How long the old key still works: 0 (it stops at once) to 604800 (seven days)."
    )

    def check_fields(self, faults: Faults) -> None:
        super().check_fields(faults)
        in_range = 0 <= self.overlap_seconds <= MAX_OVERLAP_SECONDS
        faults.unless(in_range, "input.overlapSeconds", f"0 to {MAX_OVERLAP_SECONDS}.")


@strawberry.input(description="Which API key to stop.")
class RevokeApiKeyInput(ApiKeyIdInput):
    pass
