"""What providers say of one person, in whatever order it comes; deletion, and the person's own edits."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select

import clock
import errors
from db.models import SCOPES, ApiKey, Identity, User
from db.session import Database, Session
from domain import accounts
from domain.accounts import IdentityFacts, Terms
from domain.actor import Actor, Standing
from sealing import Sealer
from tests.fakes.clerk_api import JULY

ISSUER = "https://clerk.test"
TERMS = Terms(trial_days=30, sealer=None)
MINUTE = timedelta(minutes=1)

Rows = Callable[..., Awaitable[Sequence[Any]]]


def word() -> str:
    """A word that no other test uses; it can be a username as it stands."""
    return f"w{uuid.uuid4().hex[:18]}w"


def facts(subject: str, at: datetime = JULY, *, complete: bool = True, **said: Any) -> IdentityFacts:
    return IdentityFacts(issuer=ISSUER, subject=subject, as_of=at, complete=complete, **said)


async def merged(database: Database, *told: IdentityFacts, terms: Terms = TERMS) -> list[bool]:
    """Whether each was taken, one transaction after the other."""
    taken = []
    for one in told:
        async with database.transaction() as session:
            taken.append(await accounts.merge(session, one, terms))
    return taken


async def deleted(database: Database, subject: str) -> bool:
    async with database.transaction() as session:
        return await accounts.delete_identity(session, ISSUER, subject)


async def owner(session: Session, subject: str) -> User:
    owners = select(User).join(Identity, Identity.user_id == User.id).where(Identity.subject == subject)
    return (await session.scalars(owners)).one()


async def user_of(database: Database, subject: str) -> User:
    async with database.transaction() as session:
        return await owner(session, subject)


async def test_first_facts_make_a_user(database: Database, rows: Rows) -> None:
    subject = word()
    names: dict[str, Any] = {"full_name": "Ada", "username": subject, "image_url": "https://i.test"}
    said = facts(subject, email=f"{subject}@first.test", email_verified=True, **names)
    sealer = Sealer("A" * 43 + "=")
    assert await merged(database, said, terms=Terms(trial_days=7, sealer=sealer)) == [True]
    user = await user_of(database, subject)
    assert (user.email, user.email_verified, user.full_name) == (f"{subject}@first.test", True, "Ada")
    assert (user.username, user.username_source, user.full_name_source) == (subject, "provider", "provider")
    assert (user.tier, user.invite_validated, user.disabled_at, user.deleted_at) == ("free", False, None, None)
    assert user.trial_ends_at - user.created_at == timedelta(days=7)
    [key] = await rows(ApiKey, ApiKey.user_id == user.id)
    secret = sealer.open(key.sealed, str(key.id))
    assert secret
    assert (key.name, tuple(key.scopes), key.expires_at, key.prefix) == ("Default", SCOPES, None, secret[:7])


async def test_without_a_sealing_key_no_api_key_is_made(database: Database, rows: Rows) -> None:
    subject = word()
    await merged(database, facts(subject))
    assert await rows(ApiKey, ApiKey.user_id == (await user_of(database, subject)).id) == []


async def test_what_is_older_is_not_taken(database: Database) -> None:
    subject = word()
    new = facts(subject, JULY + MINUTE, email="new@order.test", full_name="New", image_url="https://new.test")
    old = facts(subject, email="old@order.test", email_verified=True, full_name="Old", image_url="https://old.test")
    assert await merged(database, new, old) == [True, False]
    user = await user_of(database, subject)
    assert (user.email, user.email_verified) == ("new@order.test", False)
    assert (user.full_name, user.image_url) == ("New", "https://new.test")


async def test_complete_facts_take_away_what_they_do_not_say(database: Database) -> None:
    subject = word()
    email = f"{subject}@order.test"
    full = facts(subject, email=email, email_verified=True, full_name="Ada", image_url="https://i.test")
    await merged(database, full, facts(subject, JULY + MINUTE))
    user = await user_of(database, subject)
    assert (user.email, user.email_verified, user.full_name, user.image_url) == (None, False, None, None)
    assert user.username == subject


async def test_claims_take_nothing_away(database: Database) -> None:
    subject = word()
    email = f"{subject}@order.test"
    full = facts(subject, email=email, email_verified=True, full_name="Ada", image_url="https://i.test")
    await merged(database, full, facts(subject, JULY + MINUTE, complete=False))
    user = await user_of(database, subject)
    assert (user.email, user.email_verified) == (email, True)
    assert (user.full_name, user.image_url) == ("Ada", "https://i.test")


async def test_an_older_profile_is_news_after_claims_with_an_address(database: Database) -> None:
    subject = word()
    claims = facts(subject, JULY + MINUTE, complete=False, email="new@order.test")
    assert await merged(database, claims, facts(subject, email="old@order.test", full_name="Ada")) == [True, True]
    user = await user_of(database, subject)
    assert (user.email, user.full_name) == ("new@order.test", "Ada")


MAYBE = st.sampled_from([None, "Ada", "Bob"])
EMAILS = st.sampled_from([None, "ada@any.test", "bob@any.test"])
NAMES = st.sampled_from([None, "propu", "propv"])
CLAIMS = st.fixed_dictionaries({"complete": st.just(False), "email": EMAILS, "email_verified": st.booleans()})
COMPLETE = st.fixed_dictionaries(
    {"complete": st.just(True), "email": EMAILS, "email_verified": st.booleans()}
    | {"full_name": MAYBE, "username": NAMES, "image_url": MAYBE}
)


class _UndoneError(Exception):
    """Nothing of a trial is kept, so that each finds the same database."""


async def outcome(database: Database, told: list[dict[str, Any]], order: Sequence[int]) -> dict[str, Any]:
    """What a user is after facts, of which number n was said at minute n, arrive in this order."""
    subject, found = word(), dict[str, Any]()
    try:
        async with database.transaction() as session:
            for number in order:
                await accounts.merge(session, facts(subject, JULY + number * MINUTE, **told[number]), TERMS)
            user = await owner(session, subject)
            found = {name: getattr(user, name) for name in ("email", "email_verified", "full_name", "image_url")}
            newest: dict[str, Any] = next((one for one in reversed(told) if one["complete"]), {})
            if newest.get("username"):
                # One that was made from an address, or made up, may stay; the provider's own is always followed.
                found["username"] = user.username
            raise _UndoneError
    except _UndoneError:
        return found


@given(told=st.lists(CLAIMS | COMPLETE, min_size=2, max_size=5), data=st.data())
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_order_of_arrival_makes_the_same_user(
    database: Database, told: list[dict[str, Any]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(told))))
    assert await outcome(database, told, order) == await outcome(database, told, range(len(told)))


async def test_facts_at_once_make_the_newest_user(database: Database) -> None:
    subject = word()
    told = [facts(subject, JULY + n * MINUTE, email=f"{n}@{subject}.test", full_name=f"Ada {n}") for n in range(20)]
    await asyncio.gather(*(merged(database, one) for one in reversed(told)))
    user = await user_of(database, subject)
    assert (user.email, user.full_name) == (f"19@{subject}.test", "Ada 19")


@pytest.mark.parametrize("complete", [True, False])
async def test_deletion_is_not_undone_by_later_facts(complete: bool, database: Database, rows: Rows) -> None:
    subject = word()
    await merged(database, facts(subject, full_name="Ada"))
    assert await deleted(database, subject)
    late = facts(subject, clock.now() + timedelta(days=1), complete=complete, email="late@tomb.test", full_name="Late")
    assert await merged(database, late) == [False]
    user = await user_of(database, subject)
    assert user.deleted_at
    assert (user.full_name, user.email) == ("Ada", None)
    assert not await deleted(database, subject)


async def test_the_deletion_of_a_stranger_is_remembered(database: Database, rows: Rows) -> None:
    subject = word()
    assert await deleted(database, subject)
    assert await merged(database, facts(subject, email=f"{subject}@tomb.test", email_verified=True)) == [False]
    [identity] = await rows(Identity, Identity.subject == subject)
    assert identity.deleted_at
    assert (identity.user_id, identity.email) == (None, None)
    assert await rows(User, User.email == f"{subject}@tomb.test") == []


async def test_deletion_and_first_sight_at_once(database: Database, rows: Rows) -> None:
    for _ in range(5):
        subject = word()
        await asyncio.gather(merged(database, facts(subject)), deleted(database, subject))
        [identity] = await rows(Identity, Identity.subject == subject)
        assert identity.deleted_at
        users = await rows(User, User.id == identity.user_id)
        assert all(user.deleted_at for user in users)


async def test_what_the_person_chose_is_left_alone(database: Database) -> None:
    subject, chosen = word(), word()
    await merged(database, facts(subject, full_name="Provider", username=subject))
    user = await user_of(database, subject)
    actor = Actor(user.id, Standing("free", None, invited=False), scopes=None)
    async with database.transaction() as session:
        await accounts.update_profile(session, actor, {"full_name": None, "username": chosen})
    await merged(database, facts(subject, JULY + MINUTE, full_name="Provider again", username=word()))
    user = await user_of(database, subject)
    assert (user.full_name, user.username) == (None, chosen)


async def test_who_is_gone_cannot_be_changed(database: Database) -> None:
    actor = Actor(uuid.uuid4(), Standing("free", None, invited=False), scopes=None)
    with pytest.raises(errors.NotFound):
        async with database.transaction() as session:
            await accounts.update_profile(session, actor, {"full_name": "Ada"})
    with pytest.raises(errors.NotFound):
        async with database.transaction() as session:
            await accounts.set_disabled(session, actor.user_id, disabled=True)


async def test_disabling_is_kept_until_it_is_lifted(database: Database) -> None:
    subject = word()
    await merged(database, facts(subject, full_name="Ada"))
    user = await user_of(database, subject)

    async def disable(disabled: bool) -> User:
        async with database.transaction() as session:
            await accounts.set_disabled(session, user.id, disabled=disabled)
        return await user_of(database, subject)

    first = (await disable(True)).disabled_at
    clock.move(MINUTE)
    assert first
    assert (await disable(True)).disabled_at == first
    await merged(database, facts(subject, JULY + MINUTE, full_name="Ada L."))
    assert (await user_of(database, subject)).disabled_at == first
    assert (await disable(False)).disabled_at is None
