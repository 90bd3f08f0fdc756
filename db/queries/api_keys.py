"""Statements of API keys."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from db.account_writes import last_write
from db.models import ApiKey, User
from db.queries.accounts import LAST_WRITE, STANDING_OF_USER
from db.queries.relation import Relation
from db.session import Bound, Read, Session
from db.statements import Prepared, given

_COLUMNS = (
    ApiKey.id,
    ApiKey.user_id,
    ApiKey.name,
    ApiKey.prefix,
    ApiKey.sealed,
    ApiKey.scopes,
    ApiKey.created_at,
    ApiKey.last_used_at,
    ApiKey.expires_at,
    ApiKey.revoked_at,
)

OF_USER = Relation(
    children=select(*_COLUMNS),
    key=ApiKey.user_id,
    order_by=(ApiKey.revoked_at.is_not(None), ApiKey.id.desc()),
    limit=100,
)


def one(user_id: UUID, key_id: UUID) -> Read:
    """A key of this user."""
    return select(*_COLUMNS).where(ApiKey.user_id == user_id, ApiKey.id == key_id)


def several(user_id: UUID, key_ids: Collection[UUID]) -> Read:
    """Those of these keys that are this user's, in no order."""
    return select(*_COLUMNS).where(ApiKey.user_id == user_id, ApiKey.id.in_(key_ids))


def sealed(user_id: UUID, key_id: UUID) -> Read:
    """The sealed secret of a key of this user."""
    return select(ApiKey.sealed).where(ApiKey.user_id == user_id, ApiKey.id == key_id)


_LOOK_UP = (
    select(
        *STANDING_OF_USER,
        ApiKey.id.label("key_id"),
        ApiKey.digest,
        ApiKey.scopes,
        ApiKey.last_used_at,
        ApiKey.expires_at,
        ApiKey.revoked_at,
    )
    .join(User, User.id == ApiKey.user_id)
    .where(ApiKey.digest == given("digest"))
)
_STANDING = Prepared(_LOOK_UP)
_STANDING_AND_LAST_WRITE = Prepared(_LOOK_UP.add_columns(last_write().label(LAST_WRITE)))


def standing(digest: bytes, *, last_write: bool = False) -> Bound:
    """The key with this digest and the account it belongs to; with its `last_write`, if wanted."""
    return (_STANDING_AND_LAST_WRITE if last_write else _STANDING)(digest=digest)


async def for_update(session: Session, user_id: UUID, key_id: UUID) -> ApiKey | None:
    """A key of this user, locked until the transaction ends."""
    return await session.scalar(select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.id == key_id).with_for_update())


def _live(user_id: UUID, now: datetime) -> ColumnElement[bool]:
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    return and_(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None), unexpired)


async def count_live(session: Session, user_id: UUID, now: datetime) -> int:
    """How many keys of this user work now."""
    return await session.scalar(select(func.count()).where(_live(user_id, now))) or 0


async def live_named(session: Session, user_id: UUID, name: str, now: datetime) -> ApiKey | None:
    """The oldest key of this user that works now and is called so."""
    statement = select(ApiKey).where(_live(user_id, now), ApiKey.name == name).order_by(ApiKey.id).limit(1)
    return await session.scalar(statement)


async def touch(session: Session, key_id: UUID, now: datetime) -> None:
    """Move the last use forward, at most once a minute."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now - timedelta(minutes=1))
    await session.execute(update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=now))
