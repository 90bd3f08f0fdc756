"""Which credential a request presents, if any. Whether it holds is for the verifier and the key look-up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import errors
from domain.api_keys import PREFIX

MAX_COOKIES = 20
_SESSION_COOKIE = "__session"


class Headers(Protocol):
    """As Starlette's: names without case, several values for one name."""

    def getlist(self, key: str, /) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token of an issuer. Several candidates only from cookies, where instances of one domain lie side by side."""

    candidates: tuple[str, ...] = field(repr=False)
    from_cookie: bool


@dataclass(frozen=True, slots=True)
class ApiKeySecret:
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DevelopmentUser:
    """The X-User-Id header, which counts only where DEV_USER_HEADER_ENABLED says so."""

    user_id: str


Credential = BearerToken | ApiKeySecret | DevelopmentUser


def credential_of(headers: Headers, *, allowed_origins: Sequence[str], user_header: bool) -> Credential | None:
    """The one credential of a request; `InvalidCredential` for several or for one of no known form.

    A cookie is looked at only when no header credential is there, and only for a request that cannot come from a
    foreign site: browsers attach cookies on their own.
    """
    authorizations, keys = headers.getlist("authorization"), headers.getlist("x-api-key")
    users = headers.getlist("x-user-id") if user_header else ()
    if len(authorizations) == 1 and not keys and not users:  # as nearly always
        return _from_authorization(authorizations[0])
    found: list[Credential] = [_from_authorization(value) for value in authorizations]
    found += [ApiKeySecret(value.strip()) for value in keys]
    found += [DevelopmentUser(value.strip()) for value in users]
    if len(found) > 1:
        raise errors.InvalidCredential("The request carries several credentials. Send exactly one.")
    if found:
        return found[0]
    return _from_cookies(headers) if _is_own_origin(headers, allowed_origins) else None


def _from_authorization(value: str) -> Credential:
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.InvalidCredential("The Authorization header is not of the form: Bearer <token>.")
    token = token.strip()
    return ApiKeySecret(token) if token.startswith(PREFIX) else BearerToken((token,), from_cookie=False)


def _is_own_origin(headers: Headers, allowed_origins: Sequence[str]) -> bool:
    """From a page of an allowed origin, or of this one. Neither header can be set by a page."""
    origins = headers.getlist("origin")
    allowed = len(origins) == 1 and origins[0] in allowed_origins
    return allowed or list(headers.getlist("sec-fetch-site")) == ["same-origin"]


def _from_cookies(headers: Headers) -> BearerToken | None:
    tokens = []
    # Taken apart by hand: http.cookies drops all of them where another application's is not to its taste.
    for pair in ";".join(headers.getlist("cookie")).split(";"):
        name, _, value = (part.strip() for part in pair.partition("="))
        if name == _SESSION_COOKIE or name.startswith(f"{_SESSION_COOKIE}_"):
            tokens.append(value.strip('"'))
    candidates = [*dict.fromkeys(filter(None, tokens))][:MAX_COOKIES]
    return BearerToken(tuple(candidates), from_cookie=True) if candidates else None
