"""Mutations of API keys. A key never manages keys: each asks for a session."""

from datetime import timedelta

import strawberry

import domain
from auth.permissions import IsAuthenticated, IsSession
from resolvers.mutation import Work, mutation
from schema.api_keys import (
    CreateApiKeyInput,
    CreateApiKeyPayload,
    RevokeApiKeyInput,
    RevokeApiKeyPayload,
    RotateApiKeyInput,
    RotateApiKeyPayload,
)


@strawberry.type
class ApiKeysMutation:
    @mutation(IsAuthenticated, IsSession, description="Create an API key; at most 25 work at the same time.")
    async def create_api_key(self, work: Work, input: CreateApiKeyInput) -> CreateApiKeyPayload:
        key, secret = await domain.api_keys.create(
            work.session,
            work.actor,
            name=input.name,
            scopes=input.scopes,
            expires_at=input.expires_at,
            sealer=work.services.sealer,
        )
        return CreateApiKeyPayload(key_id=key.id, fresh_secret=secret)

    @mutation(IsAuthenticated, IsSession, description="Replace an API key; the old one works on for the overlap.")
    async def rotate_api_key(self, work: Work, input: RotateApiKeyInput) -> RotateApiKeyPayload:
        overlap = timedelta(seconds=input.overlap_seconds)
        key, secret = await domain.api_keys.rotate(
            work.session, work.actor, input.key_id, overlap=overlap, sealer=work.services.sealer
        )
        return RotateApiKeyPayload(key_id=key.id, fresh_secret=secret)

    @mutation(IsAuthenticated, IsSession, description="Stop an API key at once and for good.")
    async def revoke_api_key(self, work: Work, input: RevokeApiKeyInput) -> RevokeApiKeyPayload:
        await domain.api_keys.revoke(work.session, work.actor, input.key_id)
        return RevokeApiKeyPayload(key_id=input.key_id)
