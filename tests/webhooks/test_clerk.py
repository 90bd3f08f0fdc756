"""Clerk's webhooks through the app: who is refused and that nothing happened, then what each event does, once."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.types import Message, Scope

import clock
from db.models import Identity, User, WebhookDelivery
from db.session import Database, Session
from domain import accounts
from domain.accounts import IdentityFacts, Terms
from errors import ServiceUnavailable
from tests.fakes import svix_sender
from tests.fakes.clerk_api import JULY, address, clerk_user, user_id
from webhooks import body as bodies
from webhooks.clerk import ClerkWebhook

PATH = "/webhooks/clerk"
ISSUER = "https://clerk.test"
MINUTE = timedelta(minutes=1)

Rows = Callable[..., Awaitable[list[Any]]]


async def deliver(client: httpx.AsyncClient, body: bytes, message: str | None = None, path: str = PATH) -> int:
    answer = await client.post(path, content=body, headers=svix_sender.headers(body, message=message))
    return answer.status_code


async def deliver_all(client: httpx.AsyncClient, *events: bytes) -> None:
    for event in events:
        assert await deliver(client, event) == 204


def created(subject: str, **changes: Any) -> bytes:
    return svix_sender.event("user.created", clerk_user(subject, **changes))


def updated(subject: str, **changes: Any) -> bytes:
    return svix_sender.event("user.updated", clerk_user(subject, **changes))


def deleted(subject: str) -> bytes:
    return svix_sender.event("user.deleted", {"id": subject, "object": "user", "deleted": True})


async def owner(rows: Rows, subject: str) -> User:
    [identity] = await rows(Identity, Identity.subject == subject)
    [user] = await rows(User, User.id == identity.user_id)
    assert isinstance(user, User)
    return user


async def delivery(rows: Rows, message: str) -> WebhookDelivery:
    [row] = await rows(WebhookDelivery, WebhookDelivery.message_id == message)
    assert isinstance(row, WebhookDelivery)
    return row


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: {key: value for key, value in headers.items() if key != name}


def signed_as(change: Callable[[str], str]) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: headers | {"svix-signature": change(headers["svix-signature"])}


class TestRefusals:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda headers: {},
            without("svix-id"),
            without("svix-timestamp"),
            without("svix-signature"),
            signed_as(lambda good: good[:-3] + "AA="),
            signed_as(lambda good: good.removeprefix("v1,")),
            signed_as(lambda good: f"{good}, {good}"),
            signed_as(lambda good: f"nonsense {good}"),
            signed_as(lambda good: f"v1,A {good}"),
            lambda headers: headers | {"svix-id": "msg_another"},
            lambda headers: headers | {"svix-timestamp": "soon"},
        ],
    )
    async def test_unsigned_and_odd_deliveries(
        self, client: httpx.AsyncClient, rows: Rows, spoil: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        body = created(user_id())
        await self.assert_not_believed(client, rows, body, spoil(svix_sender.headers(body)))

    @pytest.mark.parametrize("away", [-6 * MINUTE, 6 * MINUTE, timedelta(days=-1)])
    async def test_stale_deliveries(self, client: httpx.AsyncClient, rows: Rows, away: timedelta) -> None:
        body = created(user_id())
        await self.assert_not_believed(client, rows, body, svix_sender.headers(body, at=clock.now() + away))

    async def test_another_secret(self, client: httpx.AsyncClient, rows: Rows) -> None:
        body = created(user_id())
        headers = svix_sender.headers(body, secret=svix_sender.OTHER_SECRET)
        await self.assert_not_believed(client, rows, body, headers)

    async def test_a_body_that_is_not_utf8(self, client: httpx.AsyncClient, rows: Rows) -> None:
        body = created(user_id()).replace(b'"object"', b'"\xff\xfe"')
        await self.assert_not_believed(client, rows, body, svix_sender.headers(body))

    async def test_a_changed_body(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject = user_id()
        headers = svix_sender.headers(created(subject))
        await self.assert_not_believed(client, rows, created(subject, first_name="Mallory"), headers)

    async def test_a_header_sent_twice(self, client: httpx.AsyncClient, rows: Rows) -> None:
        body = created(user_id())
        good = svix_sender.headers(body)
        twice = [*good.items(), ("svix-id", good["svix-id"])]
        await self.assert_not_believed(client, rows, body, twice)

    async def assert_not_believed(
        self,
        client: httpx.AsyncClient,
        rows: Rows,
        body: bytes,
        headers: dict[str, str] | list[tuple[str, str]],
    ) -> None:
        subject = clerk_subject(body)
        before = {row.id for row in await rows(WebhookDelivery)}
        answer = await client.post(PATH, content=body, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "UNAUTHENTICATED"
        assert set(answer.json()) == {"detail", "code"}
        assert await rows(Identity, Identity.subject == subject) == []
        assert {row.id for row in await rows(WebhookDelivery)} == before

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
    async def test_other_methods(self, client: httpx.AsyncClient, method: str) -> None:
        answer = await client.request(method, PATH)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        assert method == "HEAD" or answer.json()["code"] == "BAD_USER_INPUT"

    async def test_declared_and_sent_sizes(self, client: httpx.AsyncClient) -> None:
        async def chunks() -> Any:
            for _ in range(18):
                yield b" " * 65536

        for content in (b" " * (bodies.MAX_BYTES + 1), chunks()):
            answer = await client.post(PATH, content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "BAD_USER_INPUT")

    async def test_the_largest_body_is_taken(self, client: httpx.AsyncClient) -> None:
        event = created(user_id())
        assert await deliver(client, event + b" " * (bodies.MAX_BYTES - len(event))) == 204

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"1",
            b'"user.created"',
            b"{}",
            b'{"type": null}',
            b'{"type": 1}',
            b'{"type": ""}',
            b'{"type": "a\\u0000b"}',
            b'{"type": "\\ud800"}',
            b'{"type": "%s"}' % (b"x" * 256),
            b'{"type": "user.created"',
            b"[" * 100_000,
            b'{"type": "user.created", "data": %s}' % (b"9" * 5000),
        ],
        ids=lambda body: repr(body[:24]),
    )
    async def test_signed_bodies_that_are_no_events(self, client: httpx.AsyncClient, rows: Rows, body: bytes) -> None:
        message = svix_sender.message_id()
        answer = await client.post(PATH, content=body, headers=svix_sender.headers(body, message=message))
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_USER_INPUT")
        assert await rows(WebhookDelivery, WebhookDelivery.message_id == message) == []

    @pytest.mark.parametrize("event_type", ["user.created", "user.updated", "user.deleted"])
    @pytest.mark.parametrize(
        "data", [None, 1, [], "user_x", {}, {"id": None}, {"id": ""}, {"id": "  "}, {"id": "a\0b"}, {"id": "\ud800"}]
    )
    async def test_user_events_without_a_usable_user(
        self, client: httpx.AsyncClient, rows: Rows, event_type: str, data: object
    ) -> None:
        message = svix_sender.message_id()
        assert await deliver(client, svix_sender.event(event_type, data), message) == 400
        row = await delivery(rows, message)
        assert (row.error, row.applied_at, row.subject) == ("BAD_USER_INPUT", None, None)

    @pytest.mark.parametrize("at", [None, "2026", 1.5, True, -1, 0, 10**15, 10**400])
    async def test_users_without_a_usable_time(self, client: httpx.AsyncClient, rows: Rows, at: object) -> None:
        subject = user_id()
        assert await deliver(client, created(subject, updated_at=at)) == 400
        assert await rows(Identity, Identity.subject == subject) == []


def clerk_subject(body: bytes) -> str:
    return str(json.loads(body.decode(errors="replace"))["data"]["id"])


class TestEvents:
    async def test_a_created_user(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject, message = user_id(), svix_sender.message_id()
        email = f"{subject}@example.test"
        body = created(subject, email=email, first_name="Ada", last_name="Example", username=subject[-12:])
        assert await deliver(client, body, message) == 204
        user = await owner(rows, subject)
        assert (user.email, user.email_verified, user.full_name) == (email, True, "Ada Example")
        assert (user.username, user.tier, user.invite_validated) == (subject[-12:], "free", False)
        [identity] = await rows(Identity, Identity.subject == subject)
        assert (identity.issuer, identity.profile_as_of) == (ISSUER, JULY)
        row = await delivery(rows, message)
        assert (row.source, row.event_type, row.subject) == ("clerk", "user.created", subject)
        assert (row.outcome, row.attempts, row.error) == ("applied", 1, None)

    async def test_the_alias(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject = user_id()
        assert await deliver(client, created(subject), path="/api/webhooks/clerk") == 204
        assert (await owner(rows, subject)).tier == "free"

    async def test_headers_of_the_standard(self, client: httpx.AsyncClient, rows: Rows) -> None:
        body = created(subject := user_id())
        answer = await client.post(PATH, content=body, headers=svix_sender.headers(body, prefix="webhook"))
        assert answer.status_code == 204
        assert (await owner(rows, subject)).tier == "free"

    @pytest.mark.parametrize(
        "event_type", ["session.created", "organization.deleted", "subscription.pastDue", "user.unheard-of"]
    )
    async def test_other_types_are_recorded_and_ignored(
        self, client: httpx.AsyncClient, rows: Rows, event_type: str
    ) -> None:
        message = svix_sender.message_id()
        assert await deliver(client, svix_sender.event(event_type, ["anything"]), message) == 204
        row = await delivery(rows, message)
        assert (row.event_type, row.outcome) == (event_type, "ignored")

    async def test_updated_before_created(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject = user_id()
        newer = updated(subject, at=JULY + MINUTE, first_name="New", email=f"new-{subject}@example.test")
        older, message = created(subject, first_name="Old", email=f"old-{subject}@example.test"), "msg_" + subject
        await deliver_all(client, newer)
        assert await deliver(client, older, message) == 204
        user = await owner(rows, subject)
        assert (user.full_name, user.email) == ("New", f"new-{subject}@example.test")
        assert (await delivery(rows, message)).outcome == "stale"

    async def test_what_clerk_takes_away_is_gone(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject = user_id()
        full = created(subject, first_name="Ada", email=f"{subject}@example.test")
        await deliver_all(client, full, updated(subject, at=JULY + MINUTE, image_url=None))
        user = await owner(rows, subject)
        assert (user.email, user.email_verified, user.full_name, user.image_url) == (None, False, None, None)

    async def test_deletion_is_a_tombstone(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject, message = user_id(), svix_sender.message_id()
        await deliver_all(client, created(subject, first_name="Ada"), deleted(subject))
        user = await owner(rows, subject)
        assert user.deleted_at
        assert await deliver(client, updated(subject, at=clock.now() + MINUTE, first_name="Late"), message) == 204
        assert (await delivery(rows, message)).outcome == "stale"
        assert await deliver(client, deleted(subject), again := svix_sender.message_id()) == 204
        assert (await delivery(rows, again)).outcome == "stale"
        user = await owner(rows, subject)
        assert user.deleted_at
        assert user.full_name == "Ada"

    async def test_deletion_of_a_stranger_is_kept(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject = user_id()
        await deliver_all(client, deleted(subject), created(subject), deleted(subject))
        [identity] = await rows(Identity, Identity.subject == subject)
        assert identity.deleted_at
        assert identity.user_id is None

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"primary_email_address_id": None}, None),
            ({"primary_email_address_id": "idn_unknown"}, None),
            ({"email_addresses": []}, None),
            ({"email_addresses": [{"id": "idn_b@example.test"}]}, None),
            ({"primary_email_address_id": "idn_b@example.test"}, ("b@example.test", False)),
        ],
    )
    async def test_the_primary_address_is_found_by_id(
        self, client: httpx.AsyncClient, rows: Rows, changes: dict[str, Any], expected: tuple[str, bool] | None
    ) -> None:
        subject = user_id()
        addresses = [address(f"{subject}@example.test"), address("b@example.test", "unverified")]
        known = {"primary_email_address_id": f"idn_{subject}@example.test", "email_addresses": addresses}
        await deliver_all(client, created(subject, **known | changes))
        user = await owner(rows, subject)
        assert (user.email, user.email_verified) == (expected or (None, False))

    async def test_unclean_members_are_left_out(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject = user_id()
        odd = {"first_name": "A\0da", "last_name": "\ud800", "username": "x" * 256, "image_url": "javascript:alert(1)"}
        await deliver_all(client, created(subject, email="a\0@example.test", public_metadata={"a": "\0\udc00"}, **odd))
        user = await owner(rows, subject)
        assert (user.email, user.full_name, user.image_url) == (None, None, None)


class TestDelivery:
    async def test_twenty_copies_at_once_are_applied_once(
        self, client: httpx.AsyncClient, rows: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        merged = []
        merge = accounts.merge

        async def counting(session: Session, facts: IdentityFacts, terms: Terms) -> bool:
            merged.append(facts.subject)
            return await merge(session, facts, terms)

        monkeypatch.setattr(accounts, "merge", counting)
        subject, message = user_id(), svix_sender.message_id()
        body = created(subject)
        assert await asyncio.gather(*(deliver(client, body, message) for _ in range(20))) == [204] * 20
        assert merged == [subject]
        row = await delivery(rows, message)
        assert (row.attempts, row.outcome) == (20, "applied")
        assert (await owner(rows, subject)).tier == "free"

    async def test_twenty_events_of_one_new_user_at_once(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject = user_id()
        events = [updated(subject, at=JULY + number * MINUTE, first_name=f"No {number}") for number in range(20)]
        assert await asyncio.gather(*(deliver(client, event) for event in events)) == [204] * 20
        assert (await owner(rows, subject)).full_name == "No 19"

    async def test_a_repeat_changes_nothing(self, client: httpx.AsyncClient, rows: Rows) -> None:
        subject, message = user_id(), svix_sender.message_id()
        assert await deliver(client, created(subject, first_name="Ada"), message) == 204
        applied_at = (await delivery(rows, message)).applied_at
        other = updated(subject, at=JULY + MINUTE, first_name="Eve")
        assert await deliver(client, other, message) == 204
        assert (await owner(rows, subject)).full_name == "Ada"
        row = await delivery(rows, message)
        assert (row.attempts, row.applied_at) == (2, applied_at)

    @pytest.mark.parametrize(
        ("failure", "status", "code"),
        [
            (RuntimeError("sk_live_hidden of the inside"), 500, "INTERNAL_SERVER_ERROR"),
            (ServiceUnavailable("The database is out of reach."), 503, "SERVICE_UNAVAILABLE"),
        ],
    )
    async def test_a_failure_leaves_no_effect_and_the_retry_succeeds(
        self,
        client: httpx.AsyncClient,
        rows: Rows,
        monkeypatch: pytest.MonkeyPatch,
        failure: Exception,
        status: int,
        code: str,
    ) -> None:
        merge = accounts.merge

        async def failing(session: Session, facts: IdentityFacts, terms: Terms) -> bool:
            await merge(session, facts, terms)
            raise failure

        subject, message = user_id(), svix_sender.message_id()
        body = created(subject)
        with monkeypatch.context() as patch:
            patch.setattr(accounts, "merge", failing)
            answer = await client.post(PATH, content=body, headers=svix_sender.headers(body, message=message))
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert "hidden" not in answer.text
        assert await rows(Identity, Identity.subject == subject) == []
        row = await delivery(rows, message)
        assert (row.applied_at, row.outcome, row.error) == (None, None, code)
        assert await deliver(client, body, message) == 204
        assert (await owner(rows, subject)).tier == "free"
        row = await delivery(rows, message)
        assert (row.attempts, row.outcome, row.error) == (2, "applied", None)


class TestSettings:
    """The endpoint by itself, with settings of its own."""

    @staticmethod
    def client(database: Database, secrets: tuple[str, ...], issuer: str | None = ISSUER) -> httpx.AsyncClient:
        webhook = ClerkWebhook(database, secrets=secrets, issuer=issuer, terms=Terms(trial_days=30, sealer=None))
        return httpx.AsyncClient(transport=httpx.ASGITransport(webhook), base_url="http://gatehouse.test")

    @pytest.mark.parametrize(("secrets", "issuer"), [((), ISSUER), ((svix_sender.SECRET,), None)])
    async def test_missing_settings_refuse_everything(
        self, database: Database, rows: Rows, secrets: tuple[str, ...], issuer: str | None
    ) -> None:
        subject = user_id()
        body = created(subject)
        async with self.client(database, secrets, issuer) as client:
            answer = await client.post(PATH, content=body, headers=svix_sender.headers(body))
        assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert await rows(Identity, Identity.subject == subject) == []

    async def test_both_secrets_count_during_a_rotation(self, database: Database, rows: Rows) -> None:
        async with self.client(database, (svix_sender.OTHER_SECRET, svix_sender.SECRET)) as client:
            for secret in (svix_sender.SECRET, svix_sender.OTHER_SECRET):
                body = created(subject := user_id())
                headers = svix_sender.headers(body, secret=secret)
                assert (await client.post(PATH, content=body, headers=headers)).status_code == 204
                assert (await owner(rows, subject)).tier == "free"


async def statuses(
    webhook: ClerkWebhook, incoming: Callable[[], Awaitable[Message]], declared: str | None = None
) -> list[int]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": PATH, "query_string": b"", "headers": []}
    if declared is not None:
        scope["headers"] = [(b"content-length", declared.encode())]
    await webhook(scope, incoming, send)
    return [message["status"] for message in sent if message["type"] == "http.response.start"]


@pytest.fixture
def webhook(database: Database) -> ClerkWebhook:
    terms = Terms(trial_days=30, sealer=None)
    return ClerkWebhook(database, secrets=(svix_sender.SECRET,), issuer=ISSUER, terms=terms)


@pytest.mark.parametrize("declared", [str(bodies.MAX_BYTES + 1), "9" * 5000])
async def test_what_is_declared_too_large_is_not_read(webhook: ClerkWebhook, declared: str) -> None:
    async def unread() -> Message:
        raise AssertionError("nothing was to be read")

    assert await statuses(webhook, unread, declared) == [413]


async def test_slow_and_broken_off_bodies(webhook: ClerkWebhook, monkeypatch: pytest.MonkeyPatch) -> None:
    async def trickle() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def leave() -> Message:
        return {"type": "http.disconnect"}

    monkeypatch.setattr(bodies, "READ_SECONDS", 0.1)
    assert await statuses(webhook, trickle) == [408]
    assert await statuses(webhook, leave) == [400]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\0", "\ud800", "a@b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
USERS = st.dictionaries(st.sampled_from(sorted(clerk_user("user_x"))), ANYTHING, max_size=8)


@given(event_type=st.sampled_from(["user.created", "user.updated", "user.deleted"]), changes=USERS)
@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_odd_users_are_never_our_fault(
    client: httpx.AsyncClient, event_type: str, changes: dict[str, Any]
) -> None:
    data = clerk_user(user_id(), email="odd@example.test") | changes
    assert await deliver(client, svix_sender.event(event_type, data)) in (204, 400)


@given(document=ANYTHING)
@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_odd_events_are_never_our_fault(client: httpx.AsyncClient, document: object) -> None:
    assert await deliver(client, svix_sender.encode(document)) in (204, 400)
    assert await deliver(client, svix_sender.event("user.created", document)) == 400
    assert await deliver(client, svix_sender.event("any.thing", document)) == 204
