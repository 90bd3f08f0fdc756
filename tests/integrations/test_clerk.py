"""Clerk's Backend API as a client meets it: what is sent, what is believed, and every way to fail."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from errors import RateLimited, UpstreamFailed
from integrations import clerk
from integrations.clerk import ClerkApi, user_of
from tests.fakes.clerk_api import JULY, SECRET_KEY, FakeClerk, address, answer, clerk_user, fake_clerk


@pytest.fixture
async def fake() -> AsyncIterator[FakeClerk]:
    async with fake_clerk() as fake:
        yield fake


@pytest.fixture
async def api(fake: FakeClerk) -> AsyncIterator[ClerkApi]:
    async with httpx.AsyncClient() as http:
        yield ClerkApi(http, SECRET_KEY, fake.base_url + "/")


async def test_a_user_is_asked_for_and_read(api: ClerkApi, fake: FakeClerk) -> None:
    fake.users["user_a"] = clerk_user("user_a", email="a@example.test", first_name="Ada", last_name="Example")
    user = await api.user("user_a")
    assert user is not None
    assert (user.id, user.updated_at, user.full_name) == ("user_a", JULY, "Ada Example")
    assert (user.email, user.email_verified) == ("a@example.test", True)
    assert fake.calls == ["/v1/users/user_a"]
    assert fake.sent[0]["authorization"] == f"Bearer {SECRET_KEY}"
    assert fake.sent[0]["clerk-api-version"] == "2026-05-12"


async def test_an_unknown_user_is_none(api: ClerkApi, fake: FakeClerk) -> None:
    assert await api.user("user_b") is None
    assert len(fake.calls) == 1


@pytest.mark.parametrize("odd", ["", ".", "..", "../users", "a/b", "a?b", "a b", "a\0b", "\ud800", "a%2fb", "x" * 256])
async def test_ids_that_are_none_of_clerks_are_not_asked_for(api: ClerkApi, fake: FakeClerk, odd: str) -> None:
    assert await api.user(odd) is None
    assert fake.calls == []


@pytest.mark.parametrize(
    "raw",
    [
        answer(500),
        answer(503, {"errors": []}),
        answer(401, {"errors": [{"message": f"The key {SECRET_KEY} is not valid."}]}),
        answer(302, location="http://127.0.0.1:1/elsewhere"),
        answer(200, b"no json"),
        answer(200, b"[" * 100_000),
        answer(200, b"\xff"),
        answer(200, []),
        answer(200, {"id": "user_a"}),
        answer(200, clerk_user("user_b")),
        answer(200, json.dumps(clerk_user("user_a")).encode() + b" " * clerk.MAX_BODY),
        b"",
        b"nonsense\r\n\r\n",
        answer(200, clerk_user("user_a"))[:-10],
    ],
    ids=lambda raw: repr(raw[9:30]),
)
async def test_failures_are_one_error_without_secrets(api: ClerkApi, fake: FakeClerk, raw: bytes) -> None:
    fake.script.append(raw)
    with pytest.raises(UpstreamFailed) as caught:
        await api.user("user_a")
    assert SECRET_KEY not in f"{caught.value!r} {caught.value.__cause__!r} {api!r}"
    assert len(fake.calls) == 1


async def test_a_silent_clerk_is_given_up(api: ClerkApi, fake: FakeClerk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clerk, "TIMEOUT", 0.1)
    fake.hanging = True
    with pytest.raises(UpstreamFailed):
        await api.user("user_a")


async def test_a_clerk_out_of_reach() -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(UpstreamFailed):
            await ClerkApi(http, SECRET_KEY, "http://127.0.0.1:1").user("user_a")


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [("7", 7), ("0", 1), ("100000", clerk.MAX_RETRY_AFTER), ("9" * 5000, 10), ("soon", 10), ("-1", 10), (None, 10)],
)
async def test_being_limited(api: ClerkApi, fake: FakeClerk, wish: str | None, seconds: int) -> None:
    fake.script.append(answer(429, {}, **({"retry_after": wish} if wish else {})))
    with pytest.raises(RateLimited) as caught:
        await api.user("user_a")
    assert caught.value.retry_after == seconds


def test_times_are_read_to_the_millisecond() -> None:
    assert user_of({"id": "user_a", "updated_at": 1794993330412}).updated_at == datetime(
        2026, 11, 18, 9, 15, 30, 412000, UTC
    )


@pytest.mark.parametrize(
    ("changes", "member", "expected"),
    [
        ({"first_name": "Ada", "last_name": None}, "full_name", "Ada"),
        ({"first_name": None, "last_name": "Example"}, "full_name", "Example"),
        ({"first_name": " ", "last_name": 5}, "full_name", None),
        ({"first_name": "A\u200dda"}, "full_name", "A\u200dda"),
        ({"first_name": "Ada\n"}, "full_name", "Ada"),
        ({"first_name": "A\nda", "last_name": "Example"}, "full_name", "Example"),
        ({"first_name": "a" * 200, "last_name": "b" * 200}, "full_name", None),
        ({"username": "ada_x"}, "username", "ada_x"),
        ({"username": "\ud800"}, "username", None),
        ({"image_url": "https://img.example.test/a.png"}, "image_url", "https://img.example.test/a.png"),
        ({"image_url": "data:text/html,hi"}, "image_url", None),
        ({"image_url": "https://" + "a" * 2048}, "image_url", None),
        ({"email_addresses": [address("no-address")], "primary_email_address_id": "idn_no-address"}, "email", None),
    ],
)
def test_members_are_read_or_left_out(changes: dict[str, Any], member: str, expected: str | None) -> None:
    assert getattr(user_of(clerk_user("user_a") | changes), member) == expected


@pytest.mark.parametrize(
    ("status", "verified"), [("verified", True), ("unverified", False), ("expired", False), (None, False)]
)
def test_an_address_counts_as_verified_only_when_it_is(status: str | None, verified: bool) -> None:
    entry = address("a@example.test", status)
    user = user_of(clerk_user("user_a", email_addresses=[entry], primary_email_address_id=entry["id"]))
    assert (user.email, user.email_verified) == ("a@example.test", verified)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(clerk_user("x"))), inner),
        max_leaves=12,
    )
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_reading_fails_in_one_way_only(document: object) -> None:
    for candidate in (document, {"id": "user_a", "updated_at": 1, "email_addresses": document}):
        try:
            user = user_of(candidate)
        except ValueError:
            continue
        for text in (user.id, user.email, user.full_name, user.username, user.image_url):
            assert text is None or (text.encode() and "\0" not in text)
