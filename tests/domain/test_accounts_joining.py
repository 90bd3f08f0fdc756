"""Several identities of one account: who joins whom, what each may change, and when the account goes."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

import clock
import errors
from db import queries
from db.models import ApiKey, Identity, User
from db.session import Database
from domain import accounts
from domain.accounts import IdentityFacts, Terms
from domain.actor import Actor, Standing
from sealing import Sealer
from tests.fakes.clerk_api import JULY
from tests.refusals import LONG_AGO

CLERK = "https://clerk.test"
OIDC = "https://id.test"
TERMS = Terms(trial_days=30, sealer=None)
MINUTE = timedelta(minutes=1)

Rows = Callable[..., Awaitable[Sequence[Any]]]


def word() -> str:
    return f"w{uuid.uuid4().hex[:18]}w"


async def seen(
    database: Database, issuer: str, subject: str, *, minute: int = 0, terms: Terms = TERMS, **said: Any
) -> UUID:
    """Merge complete facts; the account they belong to."""
    said_at = JULY + minute * MINUTE
    told = IdentityFacts(issuer=issuer, subject=subject, as_of=said_at, complete=True, **said)
    async with database.transaction() as session:
        await accounts.merge(session, told, terms)
    row = await database.row(queries.accounts.standings(issuer, [subject], said_at.date()))
    assert row
    user_id: UUID = row.id
    return user_id


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
async def test_joined_only_when_both_sides_have_it_verified(
    first: bool, second: bool, joins: bool, database: Database
) -> None:
    email = f"{word()}@join.test"
    one = await seen(database, CLERK, word(), email=email, email_verified=first)
    two = await seen(database, OIDC, word(), email=email.upper(), email_verified=second)
    assert (one == two) == joins


async def test_no_address_joins_nobody(database: Database) -> None:
    assert await seen(database, CLERK, word()) != await seen(database, OIDC, word(), email_verified=True)


async def test_an_address_that_is_not_held_any_more_joins_nobody(database: Database) -> None:
    subject, email = word(), f"{word()}@join.test"
    one = await seen(database, CLERK, subject, email=email, email_verified=True)
    await seen(database, CLERK, subject, minute=1, email=f"{word()}@join.test", email_verified=True)
    assert await seen(database, OIDC, word(), email=email, email_verified=True) != one


async def test_a_deleted_account_is_not_joined(database: Database) -> None:
    subject, email = word(), f"{word()}@join.test"
    one = await seen(database, CLERK, subject, email=email, email_verified=True)
    async with database.transaction() as session:
        await accounts.delete_identity(session, CLERK, subject)
    assert await seen(database, CLERK, word(), email=email, email_verified=True) != one


async def test_a_disabled_account_stays_so_for_who_joins(database: Database, rows: Rows) -> None:
    email = f"{word()}@join.test"
    one = await seen(database, CLERK, word(), email=email, email_verified=True)
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == one).values(disabled_at=LONG_AGO))
    assert await seen(database, OIDC, word(), email=email, email_verified=True) == one


async def test_two_accounts_with_one_address_are_joined_by_nobody(database: Database) -> None:
    email = f"{word()}@join.test"
    subjects = [word(), word()]
    known = {await seen(database, CLERK, subject) for subject in subjects}
    for subject in subjects:
        await seen(database, CLERK, subject, minute=1, email=email, email_verified=True)
    assert await seen(database, OIDC, word(), email=email, email_verified=True) not in known


async def test_first_sights_of_one_address_at_once_are_one_account(database: Database, rows: Rows) -> None:
    email = f"{word()}@join.test"
    terms = Terms(trial_days=30, sealer=Sealer("A" * 43 + "="))
    sights = (seen(database, OIDC, word(), email=email, email_verified=True, terms=terms) for _ in range(15))
    [user_id] = set(await asyncio.gather(*sights))
    assert len(await rows(Identity, Identity.user_id == user_id)) == 15
    assert len(await rows(ApiKey, ApiKey.user_id == user_id)) == 1


async def test_who_joins_changes_nothing_that_is_there(database: Database, rows: Rows) -> None:
    email, name, joiner = f"{word()}@join.test", word(), word()
    said: dict[str, Any] = {"email": email, "email_verified": True, "full_name": "Ada", "image_url": "https://one.test"}
    user_id = await seen(database, CLERK, word(), username=name, **said)
    said |= {"full_name": "Other", "image_url": "https://two.test"}
    assert await seen(database, OIDC, joiner, username=word(), **said) == user_id
    said |= {"full_name": "Later", "image_url": "https://three.test"}
    assert await seen(database, OIDC, joiner, minute=1, username=word(), **said) == user_id
    [user] = await rows(User, User.id == user_id)
    assert (user.email, user.email_verified) == (email, True)
    assert (user.full_name, user.image_url, user.username) == ("Ada", "https://one.test", name)


async def test_the_identity_it_came_from_goes_on_changing_the_account(database: Database, rows: Rows) -> None:
    email, first, name = f"{word()}@join.test", word(), word()
    user_id = await seen(database, CLERK, first, email=email, email_verified=True, full_name="Ada")
    await seen(database, OIDC, word(), email=email, email_verified=True, full_name="Other")
    new = f"{word()}@join.test"
    await seen(database, CLERK, first, minute=1, email=new, email_verified=True, full_name="Ada L.", username=name)
    [user] = await rows(User, User.id == user_id)
    assert (user.email, user.full_name, user.username) == (new, "Ada L.", name)


async def delete(database: Database, subject: str) -> None:
    async with database.transaction() as session:
        await accounts.delete_identity(session, CLERK, subject)


async def test_an_account_goes_with_its_last_identity(database: Database, rows: Rows) -> None:
    email, subjects = f"{word()}@join.test", [word(), word()]
    [user_id] = {await seen(database, CLERK, subject, email=email, email_verified=True) for subject in subjects}
    await delete(database, subjects[0])
    [user] = await rows(User, User.id == user_id)
    assert user.deleted_at is None
    await delete(database, subjects[1])
    [user] = await rows(User, User.id == user_id)
    assert user.deleted_at


async def test_an_account_goes_when_all_its_identities_go_at_once(database: Database, rows: Rows) -> None:
    for _ in range(5):
        email, subjects = f"{word()}@join.test", [word() for _ in range(8)]
        [user_id] = {await seen(database, CLERK, subject, email=email, email_verified=True) for subject in subjects}
        await asyncio.gather(*(delete(database, subject) for subject in subjects))
        [user] = await rows(User, User.id == user_id)
        assert user.deleted_at


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{}@g\u0130thub.test", "{}@github.test"),  # Unicode folds İ to i, and the domain is another one
        ("{}@github.test", "{}@g\u0130thub.test"),
        ("kate{}@k.test", "\u212aate{}@k.test"),  # the Kelvin sign
        ("stra\u00dfe{}@s.test", "strasse{}@s.test"),
        ("{}@\uff58.test", "{}@x.test"),
        ("{}@x.test", "{}@x.test."),
        ("{}+a@x.test", "{}@x.test"),
    ],
)
async def test_addresses_that_only_look_alike_join_nobody(one: str, other: str, database: Database) -> None:
    name = word()
    first = await seen(database, CLERK, word(), email=one.format(name), email_verified=True)
    second = await seen(database, OIDC, word(), email=other.format(name), email_verified=True)
    assert first != second


async def test_an_address_that_went_with_its_identity_joins_nobody(database: Database, rows: Rows) -> None:
    """The next holder of a company's address must not find the account of the one before."""
    clerk, oidc, address = word(), word(), f"{word()}@corp.test"
    private = f"{word()}@home.test"
    account = await seen(database, CLERK, clerk, email=private, email_verified=True)
    assert await seen(database, OIDC, oidc, email=private, email_verified=True) == account
    await seen(database, CLERK, clerk, minute=1, email=address, email_verified=True)
    async with database.transaction() as session:
        assert await accounts.delete_identity(session, CLERK, clerk)
    [user] = await rows(User, User.id == account)
    assert (user.deleted_at, user.email, user.email_verified) == (None, private, True)
    assert await seen(database, CLERK, word(), email=address, email_verified=True) != account


async def test_deleting_oneself_does_not_lift_a_ban(database: Database, rows: Rows) -> None:
    subject, address = word(), f"{word()}@ban.test"
    account = await seen(database, CLERK, subject, email=address, email_verified=True)
    async with database.transaction() as session:
        await accounts.set_disabled(session, account, disabled=True)
    async with database.transaction() as session:
        assert await accounts.delete_identity(session, CLERK, subject)
    again = await seen(database, CLERK, word(), email=address.upper(), email_verified=True)
    [user] = await rows(User, User.id == again)
    assert again != account
    assert user.disabled_at is not None
    other = await seen(database, CLERK, word(), email=f"{word()}@ban.test", email_verified=True)
    [free] = await rows(User, User.id == other)
    assert free.disabled_at is None


async def test_facts_from_the_future_do_not_freeze_an_account(database: Database, rows: Rows) -> None:
    subject = word()
    await seen(database, CLERK, subject, minute=60 * 24 * 365 * 50, full_name="Frozen")
    [identity] = await rows(Identity, Identity.subject == subject)
    assert identity.profile_as_of <= clock.now() + accounts.MAX_AHEAD
    clock.move(2 * accounts.MAX_AHEAD)
    told = IdentityFacts(issuer=CLERK, subject=subject, as_of=clock.now(), complete=True, full_name="Thawed")
    async with database.transaction() as session:
        assert await accounts.merge(session, told, TERMS)
    [user] = await rows(User, User.id == identity.user_id)
    assert user.full_name == "Thawed"


async def test_nobody_passes_for_the_operator(database: Database, rows: Rows) -> None:
    account = await seen(database, CLERK, word(), username="admin")
    [user] = await rows(User, User.id == account)
    assert user.username != "admin"
    assert user.username.startswith("admin")
    actor = Actor(account, Standing("free", None, invited=True), scopes=None)
    for name in ("root", "support"):
        with pytest.raises(errors.Conflict):
            async with database.transaction() as session:
                await accounts.update_profile(session, actor, {"username": name})
