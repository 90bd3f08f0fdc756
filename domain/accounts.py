"""Accounts: first sight, what providers say of a person, the person's own edits, disabling and deletion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import clock
import errors
from db import queries
from db.models import SCOPES, Identity, User
from db.session import Row, Session, wrote
from domain import api_keys, audit, usernames
from domain.actor import Actor
from domain.plans import FREE
from sealing import Sealer

DEFAULT_KEY = "Default"
"""What the API key is called that a new account has."""
MAX_AHEAD = timedelta(minutes=5)
"""How far the clock of a provider may be ahead of ours."""
_NAMES = ("full_name", "username", "image_url")
_USERNAME_ATTEMPTS = 5  # somebody else may take the name between the look and the insert


@dataclass(frozen=True, slots=True)
class IdentityFacts:
    """What a provider says of a subject, at the provider's own time `as_of`.

    `complete` facts (a user object of the provider) say everything, so that None means there is none. The others
    (claims of a token) say only what they hold. `email_verified` None: the provider does not say, so that the address
    counts only until one that does.
    """

    issuer: str
    subject: str
    as_of: datetime
    complete: bool
    email: str | None = None
    email_verified: bool | None = False
    full_name: str | None = None
    username: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a new account gets: days of trial, and one API key where keys can be sealed."""

    trial_days: int
    sealer: Sealer | None


async def merge(session: Session, facts: IdentityFacts, terms: Terms) -> bool:
    """Make an identity agree with what its provider says; the first facts make the user, or join a verified address.

    Called for tokens, webhooks and look-ups alike. False when nothing was taken: the facts are older than what is
    known, or the identity is deleted, which no late fact undoes.
    """
    # A time in the far future would keep every later fact out.
    facts = replace(facts, as_of=min(facts.as_of, clock.now() + MAX_AHEAD))
    await queries.accounts.lock_subject(session, facts.issuer, facts.subject)
    identity = await queries.accounts.identity(session, facts.issuer, facts.subject)
    if identity is None:
        user = await _owner_of_new(session, facts, terms)
        identity = Identity(issuer=facts.issuer, subject=facts.subject, user_id=user.id, created_at=clock.now())
        identity.email_verified = False
        session.add(identity)
        audit.record(session, user.id, "identity.added", issuer=facts.issuer, subject=facts.subject)
        await _learn(session, identity, user, facts)
        return True
    if identity.deleted_at is not None or identity.user_id is None:
        return False
    owner = await queries.accounts.user_for_update(session, identity.user_id)
    if owner is None:
        return False
    known = identity.email, identity.email_verified
    taken = await _learn(session, identity, owner, facts)
    if (identity.email, identity.email_verified) != known:
        # Not the address itself: what is remembered here stays, also when the address must not.
        audit.record(
            session, owner.id, "identity.email_changed", issuer=identity.issuer, verified=identity.email_verified
        )
    return taken


def says_more(facts: IdentityFacts, known: Row) -> bool:
    """Whether claims hold what `queries.accounts.standings` does not know yet.

    Asked in every request, so that only those with news open a transaction; `merge` decides what is taken.
    """
    if known.id is None or known.identity_deleted_at is not None:
        return False
    if facts.email is not None:
        verified = facts.email_verified or False
        differs = (facts.email, verified) != (known.identity_email, known.identity_email_verified)
        if differs and (
            known.email_as_of is None or (facts.email_verified is not None and facts.as_of > known.email_as_of)
        ):
            return True
    if known.profile_as_of is not None:
        return False
    newer = known.claims_as_of is None or facts.as_of > known.claims_as_of
    said = facts.full_name, facts.username, facts.image_url
    remembered = known.identity_full_name, known.identity_username, known.identity_image_url
    return said != remembered and any(
        told is not None and told != before and (newer or before is None)
        for told, before in zip(said, remembered, strict=True)
    )


async def _owner_of_new(session: Session, facts: IdentityFacts, terms: Terms) -> User:
    """The account a new identity belongs to: one with the same address, verified on both sides, else a new one."""
    if facts.email and facts.email_verified:
        await queries.accounts.lock_email(session, facts.email)
        known = await queries.accounts.users_vouched_for(session, facts.email)
        if len(known) == 1:
            return known[0]
        # Deleting an account at the provider and signing up again does not lift what an operator has decided.
        barred = await queries.accounts.is_barred(session, facts.email)
        return await _create_user(session, facts, terms, disabled=barred)
    return await _create_user(session, facts, terms, disabled=False)


async def _create_user(session: Session, facts: IdentityFacts, terms: Terms, *, disabled: bool) -> User:
    now = clock.now()
    own = usernames.base_of(facts.username or "")
    base = own or _of_address(facts)
    attempts = 0
    while True:
        attempts += 1
        named = base is not None and attempts <= _USERNAME_ATTEMPTS
        user = User(
            email_verified=False,
            full_name_source="provider",
            username=await usernames.free(session, base) if base and named else usernames.placeholder(),
            # Made of the address it is one too: the provider's own takes its place.
            username_source="provider" if own and named else "placeholder",
            tier=FREE,
            invite_validated=False,
            trial_ends_at=now + timedelta(days=terms.trial_days),
            disabled_at=now if disabled else None,
            created_at=now,
            updated_at=now,
        )
        if await queries.accounts.add_user(session, user):
            break
    if terms.sealer:
        await api_keys.issue(session, user.id, name=DEFAULT_KEY, scopes=SCOPES, expires_at=None, sealer=terms.sealer)
    return user


def _of_address(facts: IdentityFacts) -> str | None:
    return usernames.base_of(facts.email.partition("@")[0]) if facts.email else None


async def _learn(session: Session, identity: Identity, user: User, facts: IdentityFacts) -> bool:
    """Take what is newer; whether anything was."""
    wrote(session, user.id)
    taken = False
    if (facts.complete or facts.email) and not _email_is_known_better(facts, identity):
        _learn_email(identity, user, facts)
        taken = True
    if facts.complete and not _older(facts.as_of, identity.profile_as_of):
        identity.profile_as_of = facts.as_of
        await _learn_profile(session, identity, user, facts)
        taken = True
    elif not facts.complete and identity.profile_as_of is None:
        await _learn_profile(session, identity, user, _beside_known(facts, identity))
        identity.claims_as_of = max(facts.as_of, identity.claims_as_of or facts.as_of)
    if session.is_modified(user):
        user.updated_at = clock.now()
    await session.flush()
    return taken


def _older(as_of: datetime, known: datetime | None) -> bool:
    return known is not None and as_of < known


def _beside_known(facts: IdentityFacts, identity: Identity) -> IdentityFacts:
    """Claims beside what is known: a token that leaves out a name does not take it away, an older one only fills up."""
    said = {name: getattr(facts, name) for name in _NAMES}
    known = {name: getattr(identity, name) for name in _NAMES}
    first, second = (known, said) if _older(facts.as_of, identity.claims_as_of) else (said, known)
    return replace(facts, **{name: first[name] or second[name] for name in _NAMES})


def _email_is_known_better(facts: IdentityFacts, identity: Identity) -> bool:
    if facts.email_verified is None:
        return identity.email_as_of is not None
    return _older(facts.as_of, identity.email_as_of)


def _learn_email(identity: Identity, user: User, facts: IdentityFacts) -> None:
    verified = facts.email is not None and facts.email_verified is True
    if _follows(user.email, identity.email):
        user.email, user.email_verified = facts.email, verified
    identity.email, identity.email_verified = facts.email, verified
    if facts.email_verified is not None:
        identity.email_as_of = facts.as_of


async def _learn_profile(session: Session, identity: Identity, user: User, facts: IdentityFacts) -> None:
    if user.full_name_source == "provider" and _follows(user.full_name, identity.full_name):
        user.full_name = facts.full_name
    if _follows(user.image_url, identity.image_url):
        user.image_url = facts.image_url
    await _learn_username(session, identity, user, facts)
    identity.full_name, identity.image_url = facts.full_name, facts.image_url
    # One that was taken back stays known: the account may go by it, and goes along with the next.
    identity.username = facts.username or identity.username


def _follows(current: str | None, known_of_identity: str | None) -> bool:
    """With several identities, what an account shows follows the identity it came from."""
    return current is None or current == known_of_identity


async def _learn_username(session: Session, identity: Identity, user: User, facts: IdentityFacts) -> None:
    """Replace a placeholder, and go along with the provider's own username where the account's came from there."""
    own, known = usernames.base_of(facts.username or ""), usernames.base_of(identity.username or "")
    came_from_here = known is not None and known != own and usernames.is_made_from(known, user.username)
    base = None
    if user.username_source == "placeholder":
        base = own or (_of_address(facts) if usernames.is_placeholder(user.username) else None)
    elif user.username_source == "provider" and came_from_here:
        base = own
    if base is None or usernames.is_made_from(base, user.username):
        return
    for _ in range(_USERNAME_ATTEMPTS):
        if await queries.accounts.rename(session, user, await usernames.free(session, base)):
            user.username_source = "provider" if own else "placeholder"
            return


async def delete_identity(session: Session, issuer: str, subject: str) -> bool:
    """A provider deleted this subject: a tombstone, also for one never seen; an account without identities goes too."""
    now = clock.now()
    await queries.accounts.lock_subject(session, issuer, subject)
    identity = await queries.accounts.identity(session, issuer, subject)
    if identity is None:
        session.add(Identity(issuer=issuer, subject=subject, email_verified=False, created_at=now, deleted_at=now))
        return True
    if identity.deleted_at is not None:
        return False
    identity.deleted_at = now
    await session.flush()
    if identity.user_id is not None:
        audit.record(session, identity.user_id, "identity.deleted", issuer=issuer, subject=subject)
        user = await queries.accounts.user_for_update(session, identity.user_id)
        siblings = await queries.accounts.identities(session, identity.user_id)
        living = [sibling for sibling in siblings if sibling.deleted_at is None]
        if user is not None and not living:
            user.deleted_at = user.updated_at = now
        elif user is not None and user.email == identity.email:
            _take_address_of(user, living)
    return True


def _take_address_of(user: User, living: Sequence[Identity]) -> None:
    """The address came from an identity that is gone: nobody vouches for it any more, unless another one has it too."""
    heir = max(living, key=lambda identity: (identity.email == user.email, identity.email_verified))
    user.email, user.email_verified = heir.email, heir.email_verified
    user.updated_at = clock.now()


async def update_profile(session: Session, actor: Actor, changes: Mapping[str, str | None]) -> None:
    """The person's own edits: `full_name` (None clears it) and `username`. Providers leave alone what was edited."""
    user = await queries.accounts.user_for_update(session, actor.user_id)
    if user is None:
        raise errors.NotFound("This account does not exist any more.")
    if "full_name" in changes:
        full_name = changes["full_name"]
        user.full_name = full_name and full_name.strip()
        user.full_name_source = "user"
    username = changes.get("username")
    if username is not None:
        kept = username == user.username
        free = username not in usernames.RESERVED and await queries.accounts.rename(session, user, username)
        if not (kept or free):
            raise errors.Conflict(f"The username {username} is taken. Pick another one.")
        user.username_source = "user"
    user.updated_at = clock.now()


async def set_disabled(session: Session, user_id: UUID, *, disabled: bool) -> None:
    """Shut an account out, or let it in again; nothing of it is lost."""
    user = await queries.accounts.user_for_update(session, user_id)
    if user is None:
        raise errors.NotFound("There is no such user.")
    if user.deleted_at is not None:
        raise errors.Conflict("This account was deleted at its provider, for good.")
    if disabled != (user.disabled_at is not None):
        user.disabled_at = clock.now() if disabled else None
        user.updated_at = clock.now()
        audit.record(session, user.id, "account.disabled" if disabled else "account.enabled")
