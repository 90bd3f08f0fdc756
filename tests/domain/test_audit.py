"""Audit: changes of identity, invites and keys are remembered with what they did, and for good."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import clock
import domain
from auth.local_issuer import ISSUERS
from db.models import AuditEvent, User
from db.session import Database
from domain.accounts import IdentityFacts, Terms
from tests.gql import Gql
from tests.people import People

CREATE = 'mutation { createApiKey(input: {name: "ci", scopes: ["scans:read"]}) { secret apiKey { id } } }'
ROTATE = "mutation($id: ID!) { rotateApiKey(input: {id: $id, overlapSeconds: 0}) { secret apiKey { id } } }"
REVOKE = "mutation($id: ID!) { revokeApiKey(input: {id: $id}) { apiKey { id } } }"
VALIDATE = 'mutation { validateInvite(input: {code: "2026-founders-beta"}) { user { id } } }'

Rows = Callable[..., Awaitable[Sequence[Any]]]


async def test_what_a_person_does_is_remembered(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person(invited=False)
    await gql(person, VALIDATE)
    await gql(person, VALIDATE)
    created = (await gql(person, CREATE)).data["createApiKey"]
    rotated = (await gql(person, ROTATE, id=created["apiKey"]["id"])).data["rotateApiKey"]
    for _ in range(2):
        assert not (await gql(person, REVOKE, id=rotated["apiKey"]["id"])).errors
    events = await rows(AuditEvent, AuditEvent.user_id == person.user_id)
    assert sorted(event.action for event in events) == [
        "identity.added",
        "invite.validated",
        "key.issued",
        "key.issued",
        "key.issued",
        "key.revoked",
        "key.rotated",
    ]
    assert not any(
        secret in str(event.details) for event in events for secret in (created["secret"], rotated["secret"])
    )


async def test_a_refused_change_is_not(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person(invited=False)
    refused = await gql(person, 'mutation { validateInvite(input: {code: "wrong"}) { user { id } } }')
    assert refused.code == "INVALID_INVITE"
    assert [event.action for event in await rows(AuditEvent, AuditEvent.user_id == person.user_id)] == [
        "key.issued",
        "identity.added",
    ]


async def test_what_operators_and_providers_do_is_remembered(make: People, database: Database, rows: Rows) -> None:
    person = await make.person()
    for disabled in (True, True, False):
        async with database.transaction() as session:
            await domain.accounts.set_disabled(session, person.user_id, disabled=disabled)
    async with database.transaction() as session:
        await domain.accounts.delete_identity(session, ISSUERS["clerk"], person.subject)
    events = await rows(AuditEvent, AuditEvent.user_id == person.user_id)
    assert [event.action for event in events][2:] == ["account.disabled", "account.enabled", "identity.deleted"]
    assert events[-1].details == {"issuer": ISSUERS["clerk"], "subject": person.subject}


async def test_an_address_that_changes_is_remembered_without_it(make: People, database: Database, rows: Rows) -> None:
    person, now = await make.person(), clock.now()
    terms = Terms(trial_days=30, sealer=None)
    told = [("first@audit.test", False), ("first@audit.test", True), ("first@audit.test", True), (None, False)]
    for number, (email, verified) in enumerate(told):
        facts = IdentityFacts(
            issuer=ISSUERS["clerk"],
            subject=person.subject,
            as_of=now + timedelta(seconds=number),
            complete=True,
            email=email,
            email_verified=verified,
        )
        async with database.transaction() as session:
            await domain.accounts.merge(session, facts, terms)
    events = await rows(AuditEvent, AuditEvent.user_id == person.user_id, AuditEvent.action == "identity.email_changed")
    assert [event.details for event in events] == [
        {"issuer": ISSUERS["clerk"], "verified": verified} for verified in (False, True, False)
    ]


async def test_the_address_that_an_identity_begins_with_has_not_changed(make: People, rows: Rows, gql: Gql) -> None:
    subject = make.subject()
    token = make.token(subject, email=f"{subject}@audit.test")
    assert (await gql({"Authorization": f"Bearer {token}"}, "{ me { email } }")).data["me"]["email"]
    [user] = await rows(User, User.email == f"{subject}@audit.test")
    events = await rows(AuditEvent, AuditEvent.user_id == user.id)
    assert sorted(event.action for event in events) == ["identity.added", "key.issued"]


async def test_what_an_operator_does_with_an_invite_is_remembered(database: Database, rows: Rows) -> None:
    code = uuid.uuid4().hex
    async with database.transaction() as session:
        invite = await domain.invites.create(session, code=code, max_uses=3, expires_at=None, note="for Ada")
    for _ in range(2):
        async with database.transaction() as session:
            await domain.invites.withdraw(session, code)
    events = await rows(AuditEvent, AuditEvent.user_id.is_(None), AuditEvent.details["invite"].astext == str(invite.id))
    assert [(event.action, event.details) for event in events] == [
        ("invite.created", {"invite": str(invite.id), "max_uses": 3}),
        ("invite.withdrawn", {"invite": str(invite.id)}),
    ]


async def run(database: Database, *statements: str) -> None:
    async with database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


@pytest.mark.parametrize(
    "statement", ["update audit_events set action = 'x'", "delete from audit_events", "truncate audit_events"]
)
async def test_what_is_remembered_stays(make: People, database: Database, statement: str) -> None:
    await make.person()
    with pytest.raises(DBAPIError, match="permission denied"):
        await run(database, statement)
    with pytest.raises(DBAPIError, match="it only grows"):
        await run(database, "reset role", statement)
