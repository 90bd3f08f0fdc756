"""The seed: whatever was tried with a persona, it is put back."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from db import queries
from db.models import ApiKey, InviteAttempt, User
from db.session import Database
from domain import accounts, api_keys, invites, personas
from domain.accounts import DEFAULT_KEY, Terms
from domain.actor import Actor, Standing
from domain.refusal import Refused
from sealing import Sealer

ISSUER = "https://seed.test"
TERMS = Terms(trial_days=30, sealer=Sealer("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))

Rows = Callable[..., Awaitable[Sequence[Any]]]


async def seed(database: Database) -> dict[str, UUID]:
    async with database.transaction() as session:
        await personas.seed(session, ISSUER, TERMS)
        found = {
            name: await queries.accounts.owner_for_update(session, ISSUER, persona.subject)
            for name, persona in personas.PERSONAS.items()
        }
    return {name: user.id for name, user in found.items() if user}


async def test_each_persona_is_as_its_story_says(database: Database, rows: Rows) -> None:
    ids = await seed(database)
    users = {name: (await rows(User, User.id == one))[0] for name, one in ids.items()}
    assert set(users) == {"free", "uninvited", "paid", "near-limit", "trial-ended", "disabled"}
    assert [name for name, user in users.items() if not user.invite_validated] == ["uninvited"]
    assert [name for name, user in users.items() if user.tier == "paid"] == ["paid"]
    assert [name for name, user in users.items() if user.disabled_at] == ["disabled"]
    assert [name for name, user in users.items() if user.trial_ends_at < datetime.now(UTC)] == ["trial-ended"]


async def test_whatever_was_tried_is_put_back(database: Database, rows: Rows) -> None:
    ids = await seed(database)
    actor = Actor(ids["free"], Standing("free", None, invited=True), scopes=None)
    newcomer = Actor(ids["uninvited"], Standing("free", None, invited=False), scopes=None)
    async with database.transaction() as session:
        key = await queries.api_keys.live_named(session, actor.user_id, DEFAULT_KEY, datetime.now(UTC))
        assert key is not None
        await api_keys.revoke(session, actor, key.id)
        await accounts.update_profile(session, actor, {"username": "somebody-else", "full_name": None})
        for _ in range(10):
            assert isinstance(await invites.validate(session, newcomer, "wrong-code", None), Refused)
        assert await accounts.delete_identity(session, ISSUER, personas.PERSONAS["paid"].subject)

    assert await seed(database) == ids
    [user] = await rows(User, User.id == ids["free"])
    assert user.username.startswith("free")
    assert user.full_name == "Free Persona"
    assert [key.name for key in await rows(ApiKey, ApiKey.user_id == ids["free"], ApiKey.revoked_at.is_(None))] == [
        DEFAULT_KEY
    ]
    assert await rows(InviteAttempt, InviteAttempt.user_id == ids["uninvited"]) == []
    [paid] = await rows(User, User.id == ids["paid"])
    assert paid.deleted_at is None


async def test_seeding_again_changes_nothing_else(database: Database, rows: Rows) -> None:
    ids = await seed(database)
    keys = [key.id for key in await rows(ApiKey, ApiKey.user_id == ids["free"])]
    assert await seed(database) == ids
    assert [key.id for key in await rows(ApiKey, ApiKey.user_id == ids["free"])] == keys
