"""The people of the seed: accounts in known states, to look at the product with. For development only."""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Literal

import clock
from db import queries
from db.models import SCOPES, User
from db.session import Session
from domain import accounts, api_keys, portfolios, tiers, usage
from domain.accounts import DEFAULT_KEY, IdentityFacts, Terms
from domain.actor import Actor, Standing
from domain.entitlements import limit_of, period_of
from domain.plans import FREE, Plans


@dataclass(frozen=True, slots=True)
class Persona:
    """`subject` is the user id that tokens of the local issuer carry. `room`: how much of its limits is left."""

    name: str
    story: str
    tier: str = FREE
    invited: bool = True
    trial_ended: bool = False
    disabled: bool = False
    room: Literal["some", "hardly any"] | None = None

    @property
    def subject(self) -> str:
        return f"user_persona_{self.name.replace('-', '_')}"

    @property
    def email(self) -> str:
        return f"{self.name}@example.test"

    @property
    def full_name(self) -> str:
        return self.name.replace("-", " ").title() + " Persona"


_MOST_PORTFOLIOS = 100  # that the seed makes: a limit far away takes another persona

PERSONAS = {
    persona.name: persona
    for persona in (
        Persona("free", "let in, with room left", room="some"),
        Persona("uninvited", "has not used an invite code yet", invited=False),
        Persona("paid", "pays", tier="paid"),
        Persona("near-limit", "let in, one more AI message and no more portfolio", room="hardly any"),
        Persona("trial-ended", "let in, the trial is over", trial_ended=True),
        Persona("disabled", "shut out by an operator", disabled=True),
    )
}


async def seed(session: Session, issuer: str, terms: Terms, plans: Plans) -> None:
    """Make every persona, or put it back into its state, whatever was tried with it; its other objects stay."""
    for persona in PERSONAS.values():
        await queries.accounts.revive(session, issuer, persona.subject)
        facts = IdentityFacts(
            issuer=issuer,
            subject=persona.subject,
            as_of=clock.now(),
            complete=True,
            email=persona.email,
            email_verified=True,
            full_name=persona.full_name,
            username=persona.name,
        )
        await accounts.merge(session, facts, terms)
        user = await queries.accounts.owner_for_update(session, issuer, persona.subject)
        if user is not None:
            await tiers.assign(session, plans, user.id, plans.of(persona.tier).tier)
            await _restore(session, user, persona, terms)
            await _restore_usage(session, user, persona, plans)


async def _restore(session: Session, user: User, persona: Persona, terms: Terms) -> None:
    now = clock.now()
    user.invite_validated = persona.invited
    user.trial_ends_at = now + timedelta(days=-1 if persona.trial_ended else terms.trial_days)
    user.disabled_at = now if persona.disabled else None
    user.full_name, user.full_name_source = persona.full_name, "provider"
    if await queries.accounts.rename(session, user, persona.name):
        user.username_source = "provider"
    await queries.invites.forget_failures(session, user.id)
    # The keys of a guide are typed again after a seed, and mean it anew.
    await queries.idempotency.forget_all(session, user.id)
    live = await queries.api_keys.live_named(session, user.id, DEFAULT_KEY, now)
    if terms.sealer and not live:
        await api_keys.issue(session, user.id, name=DEFAULT_KEY, scopes=SCOPES, expires_at=None, sealer=terms.sealer)


async def _restore_usage(session: Session, user: User, persona: Persona, plans: Plans) -> None:
    """Take back grants, and bring usage to what the story says."""
    for override in await queries.usage.overrides(session, user.id):
        if override.feature in plans.features:
            await tiers.withdraw(session, plans, user.id, override.feature)
    if persona.room is not None:
        actor = Actor(user.id, Standing(user.tier, user.trial_ends_at, invited=persona.invited), scopes=None)
        await _restore_messages(session, actor, plans, exhausted=persona.room == "hardly any")
        await _restore_portfolios(session, actor, plans, exhausted=persona.room == "hardly any")


async def _restore_messages(session: Session, actor: Actor, plans: Plans, *, exhausted: bool) -> None:
    """To one short of the limit, or to half of it at most."""
    now, feature = clock.now(), plans.features["aiMessages"]
    limit = limit_of(plans, actor.standing, feature, now)
    if limit:
        used = await queries.usage.used(session, actor.user_id, feature.key, period_of(feature, now))
        wanted = limit - 1 if exhausted else min(used, limit // 2)
        if wanted != used:
            await usage.adjust(session, plans, actor, feature.key, wanted - used, reason="seed")


async def _restore_portfolios(session: Session, actor: Actor, plans: Plans, *, exhausted: bool) -> None:
    """To the limit, or to half of it at most; the newest go."""
    limit = limit_of(plans, actor.standing, plans.features["portfolios"], clock.now())
    if limit and limit <= _MOST_PORTFOLIOS:
        every = replace(queries.portfolios.PORTFOLIOS_OF_USER, limit=100_000)
        owned = (await session.execute(every.of([actor.user_id]).select)).all()
        wanted = limit if exhausted else min(len(owned), limit // 2)
        for surplus in owned[wanted:]:
            await portfolios.delete(session, actor, surplus.id)
        taken = {row.name for row in owned}
        free = (name for number in range(1, 2 * wanted + 1) if (name := f"Portfolio {number}") not in taken)
        for name in islice(free, max(wanted - len(owned), 0)):
            await portfolios.create(session, plans, actor, name=name, description=None, currency="USD")
