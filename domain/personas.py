"""The people of the seed: accounts in known states, to look at the product with. For development only."""

from dataclasses import dataclass
from datetime import timedelta

import clock
from db import queries
from db.models import SCOPES, User
from db.session import Session
from domain import accounts, api_keys
from domain.accounts import DEFAULT_KEY, FREE, IdentityFacts, Terms


@dataclass(frozen=True, slots=True)
class Persona:
    """`subject` is the user id that tokens of the local issuer carry."""

    name: str
    story: str
    tier: str = FREE
    invited: bool = True
    trial_ended: bool = False
    disabled: bool = False

    @property
    def subject(self) -> str:
        return f"user_persona_{self.name.replace('-', '_')}"

    @property
    def email(self) -> str:
        return f"{self.name}@example.test"

    @property
    def full_name(self) -> str:
        return self.name.replace("-", " ").title() + " Persona"


PERSONAS = {
    persona.name: persona
    for persona in (
        Persona("free", "let in, with room left"),
        Persona("uninvited", "has not used an invite code yet", invited=False),
        Persona("paid", "pays", tier="paid"),
        Persona("near-limit", "let in, close to the limits of the free tier"),
        Persona("trial-ended", "let in, the trial is over", trial_ended=True),
        Persona("disabled", "shut out by an operator", disabled=True),
    )
}


async def seed(session: Session, issuer: str, terms: Terms) -> None:
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
            await _restore(session, user, persona, terms)


async def _restore(session: Session, user: User, persona: Persona, terms: Terms) -> None:
    now = clock.now()
    user.tier = persona.tier
    user.invite_validated = persona.invited
    user.trial_ends_at = now + timedelta(days=-1 if persona.trial_ended else terms.trial_days)
    user.disabled_at = now if persona.disabled else None
    user.full_name, user.full_name_source = persona.full_name, "provider"
    if await queries.accounts.rename(session, user, persona.name):
        user.username_source = "provider"
    await queries.invites.forget_failures(session, user.id)
    live = await queries.api_keys.live_named(session, user.id, DEFAULT_KEY, now)
    if terms.sealer and not live:
        await api_keys.issue(session, user.id, name=DEFAULT_KEY, scopes=SCOPES, expires_at=None, sealer=terms.sealer)
