"""Statements of accounts: who a credential belongs to, users and their identities."""

import contextlib
import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Protocol, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, Text, and_, case, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from db.account_writes import last_write
from db.models import Identity, Override, Portfolio, User
from db.queries.usage import overview_of
from db.session import Bound, Read, Session
from db.statements import Prepared, PreparedText, given, several

_OVERRIDES = (
    select(func.jsonb_agg(func.jsonb_build_array(Override.feature, Override.extra, Override.until)))
    .where(Override.user_id == User.id)
    .scalar_subquery()
    .label("overrides")
)

STANDING_OF_USER = (
    User.id,
    User.tier,
    User.trial_ends_at,
    User.invite_validated,
    User.disabled_at,
    User.deleted_at,
    _OVERRIDES,
)
"""What every guard needs to know of the caller's account; `domain.actor.standing_of` reads it."""

_SHOWN = (User.email, User.full_name, User.username, User.image_url, User.created_at)


def _usage() -> ColumnElement[Any]:
    used = overview_of(User.id, User).subquery("used")
    return select(func.json_agg(func.json_build_array(*used.c))).select_from(used).scalar_subquery()


def _portfolio_count() -> ColumnElement[Any]:
    return select(func.count()).select_from(Portfolio).where(Portfolio.user_id == User.id).scalar_subquery()


_USERS = cast("Table", User.__table__)
_IDENTITIES = cast("Table", Identity.__table__)
LAST_WRITE = "last_write"
FORESEEN: Mapping[str, Callable[[], ColumnElement[Any]]] = {
    "usage": _usage,
    "portfolio_count": _portfolio_count,
    LAST_WRITE: last_write,
}
"""What can be read with the standing, where it will be asked for: `overview` as a list of lists, and numbers."""


class Composed(Protocol):
    """A page that can be a column of another statement. What is kept there lives as long as it does."""

    @property
    def column(self) -> Callable[[ColumnElement[Any], Any], ColumnElement[str]]: ...

    @property
    def kept(self) -> dict[Hashable, Any]: ...


class Page(Protocol):
    """A page of what is a user's, as `engine.sql` has it, and the values of its parameters."""

    @property
    def statement(self) -> Composed: ...

    @property
    def values(self) -> Mapping[str, Any]: ...


@lru_cache(maxsize=16)
def _standings_and(needs: frozenset[str]) -> Prepared:
    return Prepared(_standings(needs))


def _standings_with(needs: frozenset[str], page: Composed) -> Prepared:
    prepared: Prepared | None = page.kept.get(needs)
    if prepared is None:
        prepared = page.kept[needs] = PreparedText(lambda: _standings(needs, _page(page)))
    return prepared


def _page(page: Composed) -> ColumnElement[Any]:
    """Of an account that is not shut out, for which nothing is counted and searched."""
    open_to_it = and_(User.disabled_at.is_(None), User.deleted_at.is_(None))
    return case((open_to_it, page.column(_USERS.c.id, _USERS))).label("page")


def _standings(needs: frozenset[str], *more: ColumnElement[Any]) -> Read:
    given_ones = func.unnest(several("subjects", Text))
    # Of a list in a parameter Postgres expects ten rows, and would plan anew for each that is shorter. Of a limit in a
    # parameter it expects a tenth, which is one: the plan that it keeps looks as good as any other then.
    asked = select(given_ones.table_valued("subject").render_derived()).limit(given("asked")).subquery("asked")
    theirs = and_(Identity.issuer == given("issuer"), Identity.subject == asked.c.subject)
    found = asked.join(_IDENTITIES, theirs).outerjoin(_USERS, Identity.user_id == User.id)
    return select(*_standing(needs), *more, Identity.subject).select_from(found)


def _standing(needs: frozenset[str]) -> Sequence[Any]:
    return (
        *STANDING_OF_USER,
        *_SHOWN,
        *(FORESEEN[name]().label(name) for name in sorted(needs)),
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


_STANDING_OF_USER = Prepared(select(*STANDING_OF_USER).where(User.id == given("user_id")))
_PROFILE = Prepared(
    select(User.id, User.tier, User.invite_validated, User.trial_ends_at, *_SHOWN).where(User.id == given("user_id"))
)


def standings(
    issuer: str,
    subjects: Sequence[str],
    today: date,
    needs: frozenset[str] = frozenset(),
    *,
    page: Composed | None = None,
    values: Mapping[str, Any] | None = None,
) -> Bound:
    """The accounts behind tokens of an issuer, with their profiles, and what their identities say so far.

    No row for what is seen for the first time. With what is `FORESEEN`, by these names, as of `today` in UTC; and with
    the JSON of a `page` of what is theirs, the `values` of whose parameters are the same for all.
    """
    prepared = _standings_and(needs) if page is None else _standings_with(needs, page)
    return prepared(issuer=issuer, subjects=subjects, asked=len(subjects), **_days(needs, today), **(values or {}))


def _days(needs: frozenset[str], today: date) -> dict[str, date]:
    return {"today": today, "month": today.replace(day=1)} if "usage" in needs else {}


def standing_of_user(user_id: UUID) -> Bound:
    """The account of a user that is already known by id."""
    return _STANDING_OF_USER(user_id=user_id)


def profile(user_id: UUID) -> Bound:
    """The caller's own user as clients see it."""
    return _PROFILE(user_id=user_id)


async def lock_subject(session: Session, issuer: str, subject: str) -> None:
    """Let one transaction at a time work on an identity that may not exist yet; freed at its end."""
    await _lock(session, f"identity\0{issuer}\0{subject}")


async def lock_email(session: Session, email: str) -> None:
    """Let one transaction at a time decide whose account a verified address joins."""
    await _lock(session, f"email\0{_ascii_lower(email)}")


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


def _ascii_lower(email: str) -> str:
    """As `lower(… collate "C")` folds: A to Z and nothing else. For Unicode, K and the Kelvin sign would be one."""
    return "".join(character.lower() if character.isascii() else character for character in email)


def _vouched_by(email: str) -> Select[UUID | None]:
    return select(Identity.user_id).where(
        func.lower(Identity.email.collate("C")) == _ascii_lower(email), Identity.email_verified
    )


async def owner_for_update(session: Session, issuer: str, subject: str) -> User | None:
    """The user an identity belongs to, locked until the transaction ends."""
    found = await identity(session, issuer, subject)
    return await user_for_update(session, found.user_id) if found and found.user_id else None


async def users_vouched_for(session: Session, email: str) -> Sequence[User]:
    """Living users one of whose living identities has this address verified; two are enough to know it is not one."""
    living = _vouched_by(email).where(Identity.deleted_at.is_(None))
    statement = (
        select(User).where(User.id.in_(living), User.deleted_at.is_(None)).order_by(User.id).limit(2).with_for_update()
    )
    return (await session.scalars(statement)).all()


async def is_barred(session: Session, email: str) -> bool:
    """Whether an account was shut out that had this address verified and has been deleted since."""
    statement = select(User.id).where(
        User.id.in_(_vouched_by(email)), User.disabled_at.is_not(None), User.deleted_at.is_not(None)
    )
    return await session.scalar(statement.limit(1)) is not None


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
    same = [
        func.lower(User.email.collate("C")) == _ascii_lower(text),
        User.username == text.lower(),
        User.id.in_(by_subject),
    ]
    with contextlib.suppress(ValueError):
        same.append(User.id == UUID(text))
    return (await session.scalars(select(User).where(or_(*same)).order_by(User.id).limit(20))).all()


async def revive(session: Session, issuer: str, subject: str) -> None:
    """Undo a deletion, tombstone included. For the seed only: no fact of a provider may do this."""
    found = await identity(session, issuer, subject)
    if found is not None and found.deleted_at is not None and found.user_id is not None:
        found.deleted_at = None
        await session.execute(update(User).where(User.id == found.user_id).values(deleted_at=None))
        await session.flush()
    elif found is not None and found.user_id is None:
        await session.delete(found)
        await session.flush()
