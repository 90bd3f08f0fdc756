"""Statements of invites and of the attempts to use them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update

from db.models import Invite, InviteAttempt
from db.session import Session


async def redeem(session: Session, digest: bytes, now: datetime) -> UUID | None:
    """Take one use of the code with this digest, if it has one left; its id, else None."""
    statement = (
        update(Invite)
        .where(
            Invite.digest == digest,
            Invite.withdrawn_at.is_(None),
            or_(Invite.expires_at.is_(None), Invite.expires_at > now),
            Invite.uses < Invite.max_uses,
        )
        .values(uses=Invite.uses + 1)
        .returning(Invite.id)
    )
    return await session.scalar(statement)


async def failures_since(session: Session, user_id: UUID, since: datetime) -> tuple[int, datetime | None]:
    """How many wrong codes this user tried after `since`, and when the first of them was."""
    statement = select(func.count(), func.min(InviteAttempt.created_at)).where(
        InviteAttempt.user_id == user_id, InviteAttempt.created_at > since, InviteAttempt.succeeded.is_(False)
    )
    count, first = (await session.execute(statement)).one()
    return count, first


async def forget_failures(session: Session, user_id: UUID) -> None:
    """Drop the wrong codes of a user. For the seed only: elsewhere they are evidence."""
    await session.execute(
        delete(InviteAttempt).where(InviteAttempt.user_id == user_id, InviteAttempt.succeeded.is_(False))
    )


async def by_digest(session: Session, digest: bytes) -> Invite | None:
    return await session.scalar(select(Invite).where(Invite.digest == digest).with_for_update())


async def newest(session: Session, limit: int) -> Sequence[Invite]:
    """For operators: the newest codes first."""
    return (await session.scalars(select(Invite).order_by(Invite.id.desc()).limit(limit))).all()
