"""Statements of accounts: who a credential belongs to, users and their identities."""

import contextlib
import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError

from db.models import Identity, User
from db.session import Read, Session

# What every guard needs to know of the caller's account.
_STANDING = (User.id, User.tier, User.invite_validated, User.disabled_at, User.deleted_at)


def standing_of_identity(issuer: str, subject: str) -> Read:
    """The account behind a token and what its identity says so far; no row at first sight."""
    return (
        select(
            *_STANDING,
            Identity.deleted_at.label("identity_deleted_at"),
            Identity.email.label("identity_email"),
            Identity.email_verified.label("identity_email_verified"),
            Identity.email_as_of,
            Identity.full_name.label("identity_full_name"),
            Identity.username.label("identity_username"),
            Identity.image_url.label("identity_image_url"),
            Identity.profile_as_of,
            Identity.claims_as_of,
        )
        .select_from(Identity)
        .outerjoin(User, Identity.user_id == User.id)
        .where(Identity.issuer == issuer, Identity.subject == subject)
    )


def standing_of_user(user_id: UUID) -> Read:
    """The account of a user that is already known by id."""
    return select(*_STANDING).where(User.id == user_id)


def profile(user_id: UUID) -> Read:
    """The caller's own user as clients see it."""
    return select(
        User.id,
        User.email,
        User.full_name,
        User.username,
        User.image_url,
        User.tier,
        User.invite_validated,
        User.trial_ends_at,
        User.created_at,
    ).where(User.id == user_id)


async def lock_subject(session: Session, issuer: str, subject: str) -> None:
    """Let one transaction at a time work on an identity that may not exist yet; freed at its end."""
    await _lock(session, f"identity\0{issuer}\0{subject}")


async def lock_email(session: Session, email: str) -> None:
    """Let one transaction at a time decide whose account a verified address joins."""
    await _lock(session, f"email\0{email.lower()}")


async def _lock(session: Session, name: str) -> None:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    await session.execute(select(func.pg_advisory_xact_lock(number)))


async def identity(session: Session, issuer: str, subject: str) -> Identity | None:
    return await session.scalar(select(Identity).where(Identity.issuer == issuer, Identity.subject == subject))


async def identities(session: Session, user_id: UUID) -> Sequence[Identity]:
    return (await session.scalars(select(Identity).where(Identity.user_id == user_id).order_by(Identity.id))).all()


async def user_for_update(session: Session, user_id: UUID) -> User | None:
    """The user, locked until the transaction ends and read anew."""
    statement = select(User).where(User.id == user_id).with_for_update().execution_options(populate_existing=True)
    return await session.scalar(statement)


async def users_with_verified_email(session: Session, email: str) -> Sequence[User]:
    """Living users who have this address verified; two are enough to know that it is not one."""
    statement = (
        select(User)
        .where(func.lower(User.email) == email.lower(), User.email_verified, User.deleted_at.is_(None))
        .order_by(User.id)
        .limit(2)
        .with_for_update()
    )
    return (await session.scalars(statement)).all()


async def taken_usernames(session: Session, usernames: Sequence[str]) -> set[str]:
    """Which of these usernames somebody has."""
    return set((await session.scalars(select(User.username).where(User.username.in_(usernames)))).all())


async def rename(session: Session, user: User, username: str) -> bool:
    """Give a user this username; False, and nothing changed, when somebody else has it."""
    try:
        async with session.begin_nested():
            await session.execute(update(User).where(User.id == user.id).values(username=username))
    except IntegrityError as error:
        _require_username_conflict(error)
        return False
    user.username = username
    return True


async def add_user(session: Session, user: User) -> bool:
    """Store a new user; False, and nothing stored, when the username is taken."""
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        _require_username_conflict(error)
        return False
    return True


def _require_username_conflict(error: IntegrityError) -> None:
    """Raise on: another constraint is a fault of ours, which no other username mends."""
    if "uq_users_username" not in str(error.orig):
        raise error


async def find_users(session: Session, text: str) -> Sequence[User]:
    """Users whose id, email, username or subject is `text`; for operators."""
    by_subject = select(Identity.user_id).where(Identity.subject == text)
    same = [func.lower(User.email) == text.lower(), User.username == text.lower(), User.id.in_(by_subject)]
    with contextlib.suppress(ValueError):
        same.append(User.id == UUID(text))
    return (await session.scalars(select(User).where(or_(*same)).order_by(User.id).limit(20))).all()


async def set_disabled(session: Session, user_id: UUID, disabled_at: datetime | None, now: datetime) -> None:
    await session.execute(update(User).where(User.id == user_id).values(disabled_at=disabled_at, updated_at=now))
