"""How usernames are made: from what the provider says, free ones, and again when more is known."""

import asyncio
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from db.models import USERNAME, Identity, User
from db.session import Database
from domain import accounts, usernames
from domain.accounts import IdentityFacts, Terms
from tests.fakes.clerk_api import JULY

TERMS = Terms(trial_days=30, sealer=None)


def word() -> str:
    return f"w{uuid.uuid4().hex[:18]}w"


async def named(database: Database, *said: dict[str, Any], subject: str | None = None) -> tuple[str, str]:
    """Username and its source, after complete facts that were said minute by minute."""
    subject = subject or word()
    for minute, one in enumerate(said):
        as_of = JULY + timedelta(minutes=minute)
        told = IdentityFacts(issuer="https://names.test", subject=subject, as_of=as_of, complete=True, **one)
        async with database.transaction() as session:
            await accounts.merge(session, told, TERMS)
    async with database.transaction() as session:
        owner = select(User).join(Identity, Identity.user_id == User.id).where(Identity.subject == subject)
        user = (await session.scalars(owner)).one()
        return user.username, user.username_source


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("alice.smith+x", "alice-smith-x"),
        ("Zoë Ångström", "zoe-angstrom"),
        ("__alice__", "alice"),
        ("a_b", "a_b"),
        ("ａｌｉｃｅ", "alice"),
        ("x" * 40, "x" * 24),
        ("x" * 23 + "--y", "x" * 23),
        ("a", None),
        ("李小龍", None),
        ("--", None),
        ("", None),
    ],
)
def test_base(text: str, base: str | None) -> None:
    assert usernames.base_of(text) == base


@given(st.text(max_size=80))
def test_a_base_is_a_username_with_room_behind_it(text: str) -> None:
    base = usernames.base_of(text)
    assert base is None or re.fullmatch(USERNAME, f"{base}999999")
    assert base is None or usernames.base_of(base) == base


async def test_alice_alice2_alice3(database: Database) -> None:
    name = word()
    assert [await named(database, {"username": name}) for _ in range(3)] == [
        (name, "provider"),
        (f"{name}2", "provider"),
        (f"{name}3", "provider"),
    ]


async def test_beyond_nine_a_number_is_drawn(database: Database) -> None:
    name = word()
    for _ in range(9):
        await named(database, {"username": name})
    username, _ = await named(database, {"username": name})
    assert re.fullmatch(rf"{name}\d{{6}}", username)


async def test_twelve_at_once_get_twelve_names(database: Database) -> None:
    name = word()
    found = await asyncio.gather(*(named(database, {"username": name}) for _ in range(12)))
    assert len({username for username, _ in found}) == 12


async def test_of_the_address_where_there_is_no_username(database: Database) -> None:
    name = word()
    assert await named(database, {"email": f"{name}@names.test"}) == (name, "placeholder")
    assert await named(database, {"email": f"{name}@other.test", "username": "李"}) == (f"{name}2", "placeholder")


async def test_a_placeholder_until_something_is_known(database: Database) -> None:
    subject, name = word(), word()
    username, source = await named(database, {}, {"full_name": "Ada"}, subject=subject)
    assert re.fullmatch("user-[0-9a-f]{8}", username)
    assert source == "placeholder"
    said: list[dict[str, Any]] = [{}, {}, {"email": f"{name}@names.test"}]
    assert await named(database, *said, subject=subject) == (name, "placeholder")


async def test_the_providers_username_is_followed(database: Database) -> None:
    first, second, subject = word(), word(), word()
    await named(database, {"username": second})
    assert await named(database, {"username": first}, {"username": second}, subject=subject) == (
        f"{second}2",
        "provider",
    )
    assert (await named(database, {}, {}, {"username": second, "full_name": "Ada"}, subject=subject))[0] == f"{second}2"


async def test_the_providers_username_takes_the_place_of_one_made_from_the_address(database: Database) -> None:
    address, name = word(), word()
    said = {"email": f"{address}@names.test"}, {"email": f"{address}@names.test", "username": name}
    assert await named(database, *said) == (name, "provider")


async def test_a_new_address_does_not_rename(database: Database) -> None:
    name = word()
    assert (await named(database, {"email": f"{name}@names.test"}, {"email": f"{word()}@names.test"}))[0] == name
