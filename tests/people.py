"""Accounts for tests: each test makes its own, through the front door, and sets the state it needs."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from auth.issuers import Kind
from auth.local_issuer import ISSUERS, LocalIssuer
from db.models import Identity, User
from db.session import Database
from tests.gql import Gql


@dataclass(frozen=True)
class Person:
    """Somebody with a session: a verified token of the local issuer."""

    subject: str
    token: str
    user_id: UUID

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True)
class KeyBearer:
    """Somebody with an API key."""

    secret: str

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.secret}


class People:
    def __init__(self, gql: Gql, issuer: LocalIssuer, database: Database) -> None:
        self._gql, self._issuer, self._database = gql, issuer, database

    def subject(self) -> str:
        return f"user_{uuid.uuid4().hex}"

    def token(
        self, subject: str, *, kind: Kind = "clerk", expires_in: timedelta = timedelta(hours=1), **claims: Any
    ) -> str:
        """A signed token; `email`, `full_name`, `username`, and `claims` as the local issuer takes them."""
        return self._issuer.sign(kind, subject, expires_in=expires_in, **claims)

    async def person(self, *, invited: bool = True, kind: Kind = "clerk", **state: Any) -> Person:
        """An account; `state` sets columns of its user, such as `tier` or `disabled_at`."""
        subject = self.subject()
        token = self.token(subject, kind=kind)
        answer = await self._gql({"Authorization": f"Bearer {token}"}, "{ me { username } }")
        assert not answer.errors, answer.errors
        async with self._database.transaction() as session:
            owner = select(Identity.user_id).where(Identity.issuer == ISSUERS[kind], Identity.subject == subject)
            user_id = (await session.execute(owner)).scalar_one()
            assert user_id is not None
            await session.execute(update(User).where(User.id == user_id).values(invite_validated=invited, **state))
        return Person(subject, token, user_id)

    async def key(self, owner: Person, *scopes: str) -> KeyBearer:
        """An API key of somebody, made as they would make it."""
        created = await self._gql(
            owner,
            "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret } }",
            input={"name": "test", "scopes": list(scopes)},
        )
        return KeyBearer(created.data["createApiKey"]["secret"])
