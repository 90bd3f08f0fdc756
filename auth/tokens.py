"""A token's form and its signature (RFC 7515, RFC 8725); what its claims must say is in claims."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from auth.keys import MAX_KID, SHAPES, Key
from errors import InvalidCredential

log = structlog.stdlib.get_logger(__name__)

MAX_TOKEN = 8192
"""Characters; a cookie holds 4 KiB, and the largest access tokens seen have about as much."""
_MAX_MEMBERS = 16  # of a header; the busiest seen has six
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.[A-Za-z0-9_-]+")
# A token must not bring its own key or say where to get one (RFC 8725, section 3.10), and must not change how it is
# read: we know no critical extension (RFC 7515, section 4.1.11), no bare payload (RFC 7797), no compression.
_REFUSED_MEMBERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"})
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_jws = PyJWS(algorithms=list(SHAPES), options={"verify_signature": True, "enforce_minimum_key_length": True})


@dataclass(frozen=True, slots=True)
class Unverified:
    """A well-formed token that nothing is believed of yet."""

    token: str = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)
    payload: str = field(repr=False)

    @property
    def algorithm(self) -> str:
        """The `alg`, any string; compare it with the issuer's own list, to the letter."""
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        """The `kid`: a key to compare with, never a name to look up elsewhere."""
        return self.header.get("kid")

    def claims(self) -> dict[str, Any]:
        """The claims as they stand, from a payload that may have come from anybody."""
        return _object_of(_decoded(self.payload))


def require_bounded(token: str) -> None:
    """Refuse a token that is too long to be looked at."""
    if len(token) > MAX_TOKEN:
        raise InvalidCredential(f"The token is longer than {MAX_TOKEN} characters; send the session's access token.")


def read(token: str) -> Unverified:
    """Take a compact JWS of bounded size apart; `InvalidCredential` where it is none, or has a header it must not."""
    parts = _COMPACT.fullmatch(token)
    if parts is None:
        raise _malformed()
    header = _object_of(_decoded(parts[1]))
    kid = header.get("kid")
    if (
        len(header) > _MAX_MEMBERS
        or not isinstance(header.get("alg"), str)
        or not ("kid" not in header or (isinstance(kid, str) and is_text(kid, MAX_KID)))
        or not ("typ" not in header or isinstance(header["typ"], str))
    ):
        raise _malformed()
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise InvalidCredential(
            "The token's header has a member that is never accepted (crit, jku, jwk, x5c, x5u, b64 or zip)."
        )
    return Unverified(token, header, parts[2])


def is_signed(token: str, key: Key, algorithm: str) -> bool:
    """Whether `token` bears a signature by `algorithm` that `key` confirms.

    `algorithm` comes from configuration. Anything but a clear yes is a no.
    """
    if not key.fits(algorithm):
        return False
    try:
        _jws.decode_complete(token, key.material, algorithms=[algorithm])
    except PyJWTError:
        return False
    except Exception as error:  # noqa: BLE001 — the libraries promise no closed list of what odd bytes can raise
        # Only their call stands in the `try`, and the type is logged: a fault of ours cannot hide behind a refusal.
        log.warning("signature check broke off", error=type(error).__name__, algorithm=algorithm)
        return False
    return True


def is_text(value: object, longest: int) -> bool:
    """Whether `value` is a string with something to see, without control characters or halves of surrogate pairs."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= longest
        and not value.isspace()
        and _UNPRINTABLE.search(value) is None
    )


def _decoded(segment: str) -> str:
    """The text of a base64url segment without padding, in its one canonical spelling (RFC 7515, appendix C)."""
    try:
        octets = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        if base64.urlsafe_b64encode(octets).rstrip(b"=").decode() == segment:
            return octets.decode()  # UTF-8 only (RFC 8725, section 3.7)
    except ValueError:
        pass
    raise _malformed() from None


def _object_of(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _malformed() from None
    if not isinstance(value, dict):
        raise _malformed()
    return value


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 7519, section 4, lets us refuse them; two readers may disagree on which of two `sub`s counts.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _malformed() -> InvalidCredential:
    return InvalidCredential("The token is not a signed JWT in compact form; send it as you got it when signing in.")
