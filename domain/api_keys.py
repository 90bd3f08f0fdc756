"""API keys: their form, issue, rotation, revocation and reveal. How a request presents one is auth's business."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

import clock
import errors
from db import queries
from db.models import ApiKey
from db.session import Session
from domain import audit
from domain.actor import Actor
from sealing import Sealer

PREFIX = "iq_"
MAX_LIVE = 25
_VISIBLE = len(PREFIX) + 4


def digest(secret: str) -> bytes:
    """What is stored and looked up. A key has 256 random bits, so a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(secret.encode()).digest()


async def issue(
    session: Session,
    user_id: UUID,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    sealer: Sealer | None,
) -> tuple[ApiKey, str]:
    """Store a new key of this user; the row and the secret, which is kept only where it can be sealed."""
    key_id, secret = uuid7(), PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(
        id=key_id,
        user_id=user_id,
        name=name.strip(),
        prefix=secret[:_VISIBLE],
        digest=digest(secret),
        sealed=sealer.seal(secret, str(key_id)) if sealer else None,
        scopes=list(scopes),
        created_at=clock.now(),
        expires_at=expires_at,
    )
    session.add(row)
    audit.record(session, user_id, "key.issued", key=str(key_id), prefix=row.prefix)
    await session.flush()
    return row, secret


async def create(
    session: Session,
    actor: Actor,
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    sealer: Sealer | None,
) -> tuple[ApiKey, str]:
    """A further key, up to `MAX_LIVE` that work at the same time."""
    # The lock on the account makes two creations at once count one after the other.
    await queries.accounts.user_for_update(session, actor.user_id)
    if await queries.api_keys.count_live(session, actor.user_id, clock.now()) >= MAX_LIVE:
        raise errors.Conflict(f"You have {MAX_LIVE} working API keys, which is the most. Revoke one first.")
    return await issue(session, actor.user_id, name=name, scopes=scopes, expires_at=expires_at, sealer=sealer)


async def rotate(
    session: Session, actor: Actor, key_id: UUID, *, overlap: timedelta, sealer: Sealer | None
) -> tuple[ApiKey, str]:
    """A successor with the same name, scopes and expiry. The old one works for `overlap` more, not past its expiry."""
    now = clock.now()
    await queries.accounts.user_for_update(session, actor.user_id)
    old = await _own(session, actor, key_id)
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        raise errors.Conflict("This API key does not work any more, so it cannot be rotated. Create a new one.")
    expires_at = old.expires_at
    if overlap:
        old.expires_at = min(expires_at or now + overlap, now + overlap)
    else:
        old.revoked_at = now
    audit.record(session, actor.user_id, "key.rotated", key=str(key_id), overlap_seconds=int(overlap.total_seconds()))
    # Flushed before the count: a key that stops at once makes room for its successor.
    await session.flush()
    return await create(session, actor, name=old.name, scopes=old.scopes, expires_at=expires_at, sealer=sealer)


async def revoke(session: Session, actor: Actor, key_id: UUID) -> None:
    """Stop a key at once and for good; again, it changes nothing."""
    key = await _own(session, actor, key_id)
    if key.revoked_at is None:
        key.revoked_at = clock.now()
        audit.record(session, actor.user_id, "key.revoked", key=str(key_id))


async def _own(session: Session, actor: Actor, key_id: UUID) -> ApiKey:
    key = await queries.api_keys.for_update(session, actor.user_id, key_id)
    if key is None:
        raise errors.NotFound("You have no such API key.")
    return key
