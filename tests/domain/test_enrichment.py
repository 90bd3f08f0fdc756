"""Enrichment against a fake Clerk over HTTP: what is asked, how often, and that failures stay in the background."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

import clock
from db.models import Identity, User
from db.session import Database, Session
from domain import accounts, enrichment
from domain.accounts import IdentityFacts, Terms
from domain.enrichment import Enrichment, Pace
from integrations.clerk import ClerkApi
from tests.fakes.clerk_api import JULY, SECRET_KEY, FakeClerk, answer, clerk_user, fake_clerk, user_id

ISSUER = "https://clerk.test"
TERMS = Terms(trial_days=30, sealer=None)

Rows = Callable[..., Awaitable[list[Any]]]
Make = Callable[..., Enrichment]


@pytest.fixture
async def fake() -> AsyncIterator[FakeClerk]:
    async with fake_clerk() as fake:
        yield fake


@pytest.fixture
async def make(database: Database, fake: FakeClerk) -> AsyncIterator[Make]:
    async with httpx.AsyncClient() as http:
        api = ClerkApi(http, SECRET_KEY, fake.base_url)
        yield lambda pace=None: Enrichment(database, api, issuer=ISSUER, terms=TERMS, pace=pace)


@asynccontextmanager
async def done(work: Enrichment) -> AsyncIterator[None]:
    """Run the worker; on leaving, wait until everything that was requested is through."""
    async with work.running(), asyncio.timeout(20):
        yield
        await work.idle()


async def seen_by_token(database: Database, subject: str, **claims: Any) -> None:
    facts = IdentityFacts(issuer=ISSUER, subject=subject, as_of=JULY, complete=False, **claims)
    async with database.transaction() as session:
        await accounts.merge(session, facts, TERMS)


async def owner(rows: Rows, subject: str) -> User:
    [identity] = await rows(Identity, Identity.subject == subject)
    [user] = await rows(User, User.id == identity.user_id)
    assert isinstance(user, User)
    return user


async def test_what_the_token_left_out_is_filled_in(
    database: Database, make: Make, fake: FakeClerk, rows: Rows
) -> None:
    subject = user_id()
    await seen_by_token(database, subject)
    assert (await owner(rows, subject)).email is None
    fake.users[subject] = clerk_user(subject, email=f"{subject}@example.test", first_name="Ada", username=subject[-9:])
    async with done(work := make()):
        work.request(subject)
    user = await owner(rows, subject)
    assert (user.email, user.email_verified) == (f"{subject}@example.test", True)
    assert (user.full_name, user.username) == ("Ada", subject[-9:])


async def test_newer_facts_win_over_the_answer(database: Database, make: Make, fake: FakeClerk, rows: Rows) -> None:
    subject = user_id()
    await seen_by_token(database, subject, email=f"new-{subject}@example.test")
    fake.users[subject] = clerk_user(subject, at=JULY - timedelta(days=1), email=f"old-{subject}@example.test")
    async with done(work := make()):
        work.request(subject)
    assert (await owner(rows, subject)).email == f"new-{subject}@example.test"


async def test_a_deleted_identity_is_not_revived(database: Database, make: Make, fake: FakeClerk, rows: Rows) -> None:
    subject = user_id()
    async with database.transaction() as session:
        await accounts.delete_identity(session, ISSUER, subject)
    fake.users[subject] = clerk_user(subject)
    async with done(work := make()):
        work.request(subject)
    [identity] = await rows(Identity, Identity.subject == subject)
    assert identity.deleted_at
    assert identity.user_id is None


async def test_many_requests_are_one_call(make: Make, fake: FakeClerk) -> None:
    subject = user_id()
    fake.users[subject] = clerk_user(subject)
    async with done(work := make()):
        for _ in range(100):
            work.request(subject)
        await fake.reached.wait()
        for _ in range(100):
            work.request(subject)
    assert len(fake.calls) == 1


@pytest.mark.parametrize("raw", [answer(200, clerk_user("user_other")), answer(404), answer(500), b""])
async def test_whatever_the_result_it_is_not_asked_again_at_once(make: Make, fake: FakeClerk, raw: bytes) -> None:
    subject = user_id()
    fake.script.extend([raw, raw])
    async with done(work := make()):
        for expected in (1, 1, 2):
            work.request(subject)
            await work.idle()
            assert len(fake.calls) == expected
            clock.move(timedelta(seconds=enrichment.ASKED_FOR * 0.6))


async def test_one_failure_does_not_end_the_rest(
    make: Make, fake: FakeClerk, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = accounts.merge
    broken, failed, fine = user_id(), user_id(), user_id()

    async def failing(session: Session, facts: IdentityFacts, terms: Terms) -> bool:
        if facts.subject == broken:
            raise RuntimeError("a fault of ours")
        return await merge(session, facts, terms)

    monkeypatch.setattr(accounts, "merge", failing)
    fake.users |= {subject: clerk_user(subject) for subject in (broken, fine)}
    async with done(work := make()):
        for subject in ("no id of Clerk's", broken, failed, fine):
            work.request(subject)
    assert (await owner(rows, fine)).tier == "free"
    assert await rows(Identity, Identity.subject.in_([broken, failed])) == []


class FakeTime:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept += [seconds] if seconds > 0 else []
        self.now += max(seconds, 0)

    def pace(self, per_second: float = 100.0, burst: int = 100) -> Pace:
        return Pace(per_second, burst, monotonic=self.monotonic, sleep=self.sleep)


async def test_being_limited_is_waited_out(make: Make, fake: FakeClerk, rows: Rows) -> None:
    time, subject = FakeTime(), user_id()
    fake.script.extend([answer(429, {}, retry_after="7")] * 2)
    fake.users[subject] = clerk_user(subject)
    async with done(work := make(pace=time.pace())):
        work.request(subject)
    assert len(fake.calls) == 3
    assert time.slept == [7, 7]
    assert (await owner(rows, subject)).tier == "free"


async def test_a_clerk_that_limits_for_ever_is_given_up(make: Make, fake: FakeClerk) -> None:
    time = FakeTime()
    fake.script.extend([answer(429, {}, retry_after="7")] * 9)
    async with done(work := make(pace=time.pace())):
        work.request(user_id())
        work.request(user_id())
    assert len(fake.calls) == 2 * enrichment.ATTEMPTS
    # Also between the last attempt for one subject and the first for the next.
    assert time.slept == [7] * (2 * enrichment.ATTEMPTS - 1)


async def test_calls_keep_to_the_pace() -> None:
    time = FakeTime()
    pace = time.pace(per_second=2.0, burst=3)
    calls_at = []
    for _ in range(9):
        await pace.wait()
        calls_at.append(time.now - 1000)
    assert calls_at == [0, 0, 0, 0.5, 1, 1.5, 2, 2.5, 3]
    time.now += 1000
    for _ in range(4):
        await pace.wait()
    assert time.now == 2003.5


async def test_every_call_is_paced(make: Make, fake: FakeClerk) -> None:
    time = FakeTime()
    async with done(work := make(pace=time.pace(per_second=2.0, burst=1))):
        for _ in range(3):
            work.request(user_id())
    assert len(fake.calls) == 3
    assert time.slept == [0.5, 0.5]


async def test_a_full_queue_drops_and_does_not_raise(
    make: Make, fake: FakeClerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrichment, "MAX_WAITING", 2)
    first, second, third = user_id(), user_id(), user_id()
    work = make()
    for subject in (first, second, third):
        work.request(subject)
    async with done(work):
        pass
    async with done(work):
        work.request(third)
    assert [call.removeprefix("/v1/users/") for call in fake.calls] == [first, second, third]


async def test_what_was_asked_is_remembered_within_bounds(
    make: Make, fake: FakeClerk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrichment, "MAX_ASKED", 2)
    subjects = [user_id() for _ in range(3)]
    async with done(work := make()):
        for subject in [*subjects, subjects[2], subjects[0]]:
            work.request(subject)
            await work.idle()
    assert [call.removeprefix("/v1/users/") for call in fake.calls] == [*subjects, subjects[0]]


async def test_stopping_does_not_wait_for_a_silent_clerk(make: Make, fake: FakeClerk) -> None:
    fake.hanging = True
    async with asyncio.timeout(5):
        async with make().running():
            pass
        async with (work := make()).running():
            work.request(user_id())
            await fake.reached.wait()
