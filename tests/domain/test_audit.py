"""Audit: changes of identity, invite and keys are remembered with what they did, and for good."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import domain
from auth.local_issuer import ISSUERS
from db.models import AuditEvent
from db.session import Database
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
