"""Statements of stored outcomes of mutations."""

import hashlib
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select

from db.models import IdempotencyRecord
from db.session import Session


async def claim(session: Session, user_id: UUID, field: str, key: str) -> bool:
    """Whether this transaction is the only one at work under the key; held until it ends, however it ends."""
    name = f"idempotency\0{user_id}\0{field}\0{key}"
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(number))))


async def record_of(session: Session, user_id: UUID, field: str, key: str, now: datetime) -> IdempotencyRecord | None:
    """The stored outcome, unless it has expired."""
    return await session.scalar(
        select(IdempotencyRecord).where(
            IdempotencyRecord.user_id == user_id,
            IdempotencyRecord.field == field,
            IdempotencyRecord.key == key,
            IdempotencyRecord.expires_at > now,
        )
    )


async def forget_all(session: Session, user_id: UUID) -> None:
    """Drop every outcome of this caller. For the seed only: a retry of what it had sent would be done again."""
    await session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.user_id == user_id))


async def forget_expired(session: Session, user_id: UUID, now: datetime) -> None:
    """Drop this caller's expired outcomes, so that the table stays as large as a day's work."""
    await session.execute(
        delete(IdempotencyRecord).where(IdempotencyRecord.user_id == user_id, IdempotencyRecord.expires_at <= now)
    )
