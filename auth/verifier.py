"""A bearer token made into who it speaks for, or refused; whether that account exists or may act is for others."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import clock
from auth import claims as rules
from auth.issuers import Issuer, Kind
from auth.keys import Key, KeySource
from auth.tokens import Unverified, is_signed, read, require_bounded
from domain.accounts import IdentityFacts
from errors import InvalidCredential

REMEMBERED_FOR = timedelta(minutes=5)
"""How long a token is believed without asking its key source again, at most until `exp`. A withdrawn key counts no
longer than its set was fresh, plus this, plus one refresh; as soon as the source knows, nothing it signed does."""


_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a verified token says. Its repr shows nothing of the person but the subject."""

    issuer: str
    kind: Kind
    subject: str
    issued_at: datetime | None
    expires_at: datetime
    facts: IdentityFacts = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Examined:
    token: VerifiedToken
    source: KeySource
    version: int
    at: datetime

    def holds(self, now: datetime) -> bool:
        return self.version == self.source.version and self.at <= now < self.at + REMEMBERED_FOR


class Verifier:
    """Checks tokens of several issuers, and remembers those it found good. One per process, on one event loop."""

    def __init__(self, issuers: Sequence[Issuer], *, cache_size: int = 10_000) -> None:
        """`cache_size` tokens are remembered, about 1 KiB each; the least recently used give way."""
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        if len(self._issuers) != len(issuers):
            raise ValueError("two issuers with one name")
        self._cache_size = cache_size
        # By digest: whoever reads this memory finds no token. The cookie's rule differs, so it is part of the key.
        self._remembered: OrderedDict[tuple[bytes, bool], _Examined] = OrderedDict()

    async def verify(self, token: str, *, from_cookie: bool = False) -> VerifiedToken:
        """Who `token` speaks for. Nothing is fetched from an address that the token names.

        `InvalidCredential` where it does not hold, with words for the caller that repeat nothing of it;
        `ServiceUnavailable` where the issuer's keys never could be fetched, so nobody knows.
        """
        known = self.recall(token, from_cookie=from_cookie)
        if known is not None:
            return known
        examined = await self._examine(read(token), from_cookie=from_cookie)
        self._remember(_digest(token, from_cookie=from_cookie), examined)
        return examined.token

    def recall(self, token: str, *, from_cookie: bool = False) -> VerifiedToken | None:
        """What `verify` tells, where it is known from a moment ago; else None. Raises as that does."""
        require_bounded(token)
        now, digest = clock.now(), _digest(token, from_cookie=from_cookie)
        examined = self._remembered.get(digest)
        if examined is None:
            return None
        if not examined.holds(now):
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        rules.require_unexpired(examined.token.expires_at, now)
        return examined.token

    async def aclose(self) -> None:
        """End what the issuers' key sources still run in the background."""
        for issuer in self._issuers.values():
            for source in set(issuer.keys.values()):
                await source.aclose()

    async def _examine(self, unverified: Unverified, *, from_cookie: bool) -> _Examined:
        claims = unverified.claims()
        name = claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise InvalidCredential("The token's issuer is not accepted here; sign in through this application.")
        source, version = await _require_signature(issuer, unverified)
        rules.check(issuer, unverified.header, claims, from_cookie=from_cookie)
        issued_at, expires_at = rules.check_times(claims, clock.now())
        token = VerifiedToken(
            issuer=issuer.issuer,
            kind=issuer.kind,
            subject=claims["sub"],
            issued_at=issued_at,
            expires_at=expires_at,
            facts=IdentityFacts(
                issuer=issuer.issuer,
                subject=claims["sub"],
                # Without `iat` nobody knows how old it is: then it only says what nobody else has said.
                as_of=issued_at or _LONG_AGO,
                complete=False,
                email=rules.email(claims),
                email_verified=rules.email_verified(issuer, claims),
                full_name=rules.full_name(claims),
                username=rules.username(claims),
                image_url=rules.image_url(claims),
            ),
        )
        return _Examined(token, source, version, clock.now())

    def _remember(self, digest: tuple[bytes, bool], examined: _Examined) -> None:
        self._remembered[digest] = examined
        self._remembered.move_to_end(digest)
        while len(self._remembered) > self._cache_size:
            self._remembered.popitem(last=False)


def _digest(token: str, *, from_cookie: bool) -> tuple[bytes, bool]:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest(), from_cookie


async def _require_signature(issuer: Issuer, unverified: Unverified) -> tuple[KeySource, int]:
    """Where the key that signed came from, and at which version."""
    source = issuer.keys.get(unverified.algorithm)
    if source is None:
        raise InvalidCredential("The token is signed in a way this issuer does not use; sign in again.")
    tried: Sequence[Key] = ()
    # Twice: the second round sees keys only if the issuer has published new ones under the same `kid`.
    for _ in range(2):
        keys = await source.find(unverified.algorithm, unverified.kid, other_than=tried)
        if any(is_signed(unverified.token, key, unverified.algorithm) for key in keys):
            return source, source.version
        if not keys:
            break
        tried = keys
    raise InvalidCredential("The token's signature does not hold; sign in again.")
