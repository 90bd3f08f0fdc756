"""From a request's credential to the account behind it. Verifying tokens is the verifier's business."""

import asyncio
import hmac
from collections.abc import Awaitable, Hashable, Sequence
from dataclasses import dataclass
from uuid import UUID

import clock
import domain
import errors
from auth.credentials import ApiKeySecret, BearerToken, Headers, credential_of
from auth.last_use import LastUse
from auth.standings import Found, Standings
from auth.verifier import VerifiedToken, Verifier
from db import queries
from db.queries.accounts import Page
from db.session import Database, Row
from domain import admission
from domain.accounts import Terms
from domain.actor import DELETED, NOBODY, Actor, Standing, standing_of
from domain.enrichment import Enrichment


@dataclass(frozen=True, slots=True)
class Gate:
    """What decides which credentials count and who is let in."""

    allowed_origins: Sequence[str]
    user_header: bool
    invite_required: bool


class Authenticator:
    """Turns the headers of requests into callers; one for the whole application."""

    def __init__(
        self,
        database: Database,
        verifier: Verifier,
        *,
        gate: Gate,
        terms: Terms,
        enrichment: Enrichment | None,
        replicated: bool = False,
    ) -> None:
        """`replicated`: reads may go to a replica, so callers know their `last_write`."""
        self.database = database
        self.gate = gate
        self.terms = terms
        self.enrichment = enrichment
        self.replicated = replicated
        self.last_use = LastUse(database)
        self.standings = Standings(database, replicated=replicated)
        self._verifier = verifier

    async def caller(self, headers: Headers) -> "Caller":
        """Who sends these headers; `InvalidCredential` when a credential is there and does not hold.

        A token is verified without the database; its account is looked up when somebody asks for it.
        """
        credential = credential_of(
            headers, allowed_origins=self.gate.allowed_origins, user_header=self.gate.user_header
        )
        match credential:
            case None:
                return Caller(self, None)
            case BearerToken(candidates, from_cookie):
                # Nearly all tokens were seen a moment ago, and need nobody to wait for anything.
                known = None if from_cookie else self._verifier.recall(candidates[0])
                return Caller(self, known or await self._verified(credential))
            case ApiKeySecret():
                return Caller(self, await self._key(credential))
            case _:
                return Caller(self, _uuid(credential.user_id))

    async def _verified(self, bearer: BearerToken) -> VerifiedToken:
        refusal: errors.InvalidCredential | None = None
        for token in bearer.candidates:
            try:
                return await self._verifier.verify(token, from_cookie=bearer.from_cookie)
            except errors.InvalidCredential as error:
                refusal = refusal or error
        raise refusal or errors.InvalidCredential("The request carries no token.")

    async def _key(self, credential: ApiKeySecret) -> "KeyHolder":
        digest = domain.api_keys.digest(credential.secret)
        row = await self.database.row(queries.api_keys.standing(digest, last_write=self.replicated))
        if row is None or not hmac.compare_digest(row.digest, digest):
            raise errors.InvalidCredential("This API key is unknown. Check that it was copied whole.")
        now = clock.now()
        if row.revoked_at is not None:
            raise errors.InvalidCredential("This API key was revoked. Create a new one.")
        if row.expires_at is not None and row.expires_at <= now:
            raise errors.InvalidCredential("This API key has expired. Create a new one.")
        self.last_use.note(row.key_id, row.last_used_at)
        return KeyHolder(row, frozenset(row.scopes))


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """An API key that holds: the standing of its owner when it was looked up, and what it allows."""

    owner: Row
    scopes: frozenset[str]


Proof = VerifiedToken | KeyHolder | UUID | None


class Caller:
    """Who asks, in one request. The account is read once, when first asked for, and again after `forget`."""

    _found: Actor | Standing | None = None
    _needs: frozenset[str] = frozenset()
    _page: Page | None = None
    _foreseen: Found | None = None
    _failure: Exception | None = None
    _stale = False
    _last_write: int | None = None
    _user_id: UUID | None = None
    _lock: asyncio.Lock | None = None

    def __init__(self, authenticator: Authenticator, proof: Proof) -> None:
        self._authenticator = authenticator
        self._proof = proof

    @property
    def bearer(self) -> Hashable | None:
        """Whose credential it is, without asking the database; None for nobody. All keys of an account are one."""
        match self._proof:
            case VerifiedToken(issuer=issuer, subject=subject):
                return issuer, subject
            case KeyHolder(owner):
                return UUID(bytes=owner.id.bytes)
            case proof:
                return proof

    async def actor(self) -> Actor:
        """The account in good standing; `Unauthenticated` for nobody, `AccountDisabled` for one that is shut out."""
        who = await self._who()
        if isinstance(who, Actor):
            self._user_id = who.user_id
            return who
        refusal = admission.refusal(who)
        assert refusal is not None  # else there is an actor
        raise refusal

    @property
    def known_actor(self) -> Actor | None:
        """What `actor` returns, once it has; before that, and where it raises, None."""
        return self._found if isinstance(self._found, Actor) else None

    async def user_id(self) -> UUID:
        """Whose objects may be read. Known from then on, as no mutation makes the caller somebody else."""
        if self._user_id is None:
            self._user_id = (await self.actor()).user_id
        return self._user_id

    async def standing(self) -> Standing:
        """How the caller stands, whoever it is: also of nobody, and of an account that is shut out."""
        who = await self._who()
        return who.standing if isinstance(who, Actor) else who

    @property
    def seen(self) -> Standing | None:
        """The standing of an account in good standing, once it was asked for; before that None."""
        actor = self.known_actor
        return None if actor is None else actor.standing

    def foresee(self, needs: frozenset[str], page: Page | None = None) -> None:
        """Have what will be asked for (`queries.accounts.FORESEEN`) read with the standing, in the same statement.

        And a page of what is the account's, whether or not the guards will let it be told. Where there is a replica,
        pages are its work.
        """
        self._needs = needs
        self._page = None if self._authenticator.replicated else page

    async def prepare(self) -> None:
        """Look the account up now, for who asks later. An error of that is told to each of them.

        Nobody asks meanwhile: it is called before anything else.
        """
        try:
            if self._found is None:
                self._found = await self._resolve()
        except Exception as error:  # noqa: BLE001 - it is raised where somebody asks
            self._failure = error

    async def foreseen(self, need: str | None = None) -> Found | None:
        """What was read with the standing, if `need` is in it; None where that has to be read by itself."""
        await self._who()
        return self.known(need)

    def page(self, page: object, user_id: UUID) -> str | None:
        """The JSON of the page that was foreseen, of this user's; None where it was not read with the standing."""
        seen = self._foreseen if page is self._page else None
        json: str | None = seen.row.page if seen is not None and seen.row.id == user_id else None
        return json

    def known(self, need: str | None = None) -> Found | None:
        """What `foreseen` tells, once the account was asked for; before that None."""
        return self._foreseen if need is None or need in self._needs else None

    @property
    def last_write(self) -> int | None:
        """The last transaction that wrote for the account when it was read; what shows it shows all of before.

        None where that is not known: without a replica, before the account was asked for, and after a mutation.
        """
        return None if self._stale else self._last_write

    def forget(self) -> None:
        """What a mutation has changed must be seen by the next one of the same document."""
        self._found, self._foreseen, self._failure, self._stale = None, None, None, True

    async def _who(self) -> Actor | Standing:
        if self._failure is not None:
            raise self._failure
        if self._found is None:
            self._lock = self._lock or asyncio.Lock()
            async with self._lock:
                if self._found is None:
                    self._found = await self._resolve()
        return self._found

    async def _resolve(self) -> Actor | Standing:
        """The account in good standing, or how nobody and who is shut out stand."""
        match self._proof:
            case None:
                return NOBODY
            case VerifiedToken() as token:
                account = await self._standing_of(token)
                return DELETED if account is None else self._admitted(account, None)
            case KeyHolder(owner, scopes):
                # Looked up with the key a moment ago; a mutation since then may have changed it.
                self._last_write = owner.last_write if self._authenticator.replicated else None
                return self._admitted(await self._standing_of_user(owner.id) if self._stale else owner, scopes)
            case UUID() as user_id:
                return self._admitted(await self._standing_of_user(user_id), None)

    async def _standing_of_user(self, user_id: UUID) -> Row | None:
        return await self._authenticator.database.row(queries.accounts.standing_of_user(user_id))

    async def _standing_of(self, token: VerifiedToken) -> Row | None:
        """The account of a token's subject, made at first sight; a newer address in the token is taken over.

        None for a subject that was deleted.
        """
        services = self._authenticator
        facts, found = token.facts, await self._look_up(token)
        if found is None or domain.accounts.says_more(facts, found.row):
            async with services.database.transaction() as session:
                await domain.accounts.merge(session, facts, services.terms)
            found = await self._look_up(token)
        if found is None or found.row.id is None or found.row.identity_deleted_at is not None:
            return None
        if services.enrichment and token.issuer == services.enrichment.issuer and found.row.profile_as_of is None:
            services.enrichment.request(token.subject)
        self._foreseen = found
        self._last_write = found.row.last_write if services.replicated else None
        return found.row

    def _look_up(self, token: VerifiedToken) -> Awaitable[Found | None]:
        if self._page is None:
            return self._authenticator.standings.of(token.issuer, token.subject, self._needs, None)
        return self._look_up_with_page(token, self._page)

    async def _look_up_with_page(self, token: VerifiedToken, page: Page) -> Found | None:
        standings = self._authenticator.standings
        try:
            return await standings.of(token.issuer, token.subject, self._needs, page)
        except errors.ServiceUnavailable:
            # It may be the page that takes too long, which is for its own field to tell.
            self._page = None
            return await standings.of(token.issuer, token.subject, self._needs, None)

    def _admitted(self, row: Row | None, scopes: frozenset[str] | None) -> Actor | Standing:
        if row is None:
            return NOBODY
        standing = standing_of(row, invite_required=self._authenticator.gate.invite_required)
        return Actor(user_id=row.id, standing=standing, scopes=scopes) if standing.active else standing


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise errors.InvalidCredential("X-User-Id is not the id of a user: write it as a UUID.") from None
