"""What the claims of a rightly signed token must say to count, kind by kind, and what they say of the person."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auth.issuers import SUPABASE_AUDIENCE, Issuer
from auth.tokens import is_text
from errors import InvalidCredential

LEEWAY = timedelta(seconds=5)
"""How far the clocks of issuer and server may differ."""
MAX_SUBJECT = 255  # OpenID Connect Core 1.0, section 2
_MAX_AHEAD = timedelta(days=366)  # no session lasts longer; a further `exp` is an API key in disguise, or nonsense
_CLERK_SESSION = "cl_B7d4PD111AAA"  # header `cat`; the same key also signs template, machine and OAuth tokens
_TYPES: Mapping[str, frozenset[str]] = {
    "clerk": frozenset({"jwt"}),
    "supabase": frozenset({"jwt"}),
    "oidc": frozenset({"jwt", "application/jwt", "at+jwt", "application/at+jwt"}),
}
_YEAR_3000 = 32_503_680_000
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

Claims = Mapping[str, Any]


def check(issuer: Issuer, header: Claims, claims: Claims, *, from_cookie: bool) -> None:
    """Refuse a token that is not this issuer's session or access token for us; `InvalidCredential` says why.

    Times are for `check_times`. RFC 8725, sections 3.9, 3.11 and 3.12.
    """
    if str(header.get("typ", "JWT")).lower() not in _TYPES[issuer.kind]:
        raise InvalidCredential("This kind of token (typ) is not accepted here; send the access token of a session.")
    if not is_text(claims.get("sub"), MAX_SUBJECT):
        raise InvalidCredential("The token names no user (sub); send the access token of a signed-in user.")
    _check_audience(issuer.audience, claims)
    match issuer.kind:
        case "clerk":
            _check_clerk(issuer, header, claims, from_cookie=from_cookie)
        case "supabase":
            _check_supabase(claims)
        case "oidc":
            # Logout tokens need no `typ` (OpenID Connect Back-Channel Logout 1.0, section 2.4) and look like ID tokens.
            if "events" in claims:
                raise InvalidCredential("This is a security event, not a token of a session; send the access token.")


def check_times(claims: Claims, now: datetime) -> tuple[datetime | None, datetime]:
    """`iat` and `exp`, when `exp` is ahead, and `nbf` and `iat` are not (RFC 7519, sections 4.1.4 to 4.1.6)."""
    if "exp" not in claims:
        raise InvalidCredential("The token does not say when it expires (exp); send the access token of a session.")
    expires_at = _moment(claims, "exp")
    require_unexpired(expires_at, now)
    if expires_at - now > _MAX_AHEAD:
        raise InvalidCredential("The token is valid for more than a year; send the access token of a session.")
    issued_at = _moment(claims, "iat") if "iat" in claims else None
    not_before = _moment(claims, "nbf") if "nbf" in claims else None
    for moment in (issued_at, not_before):
        if moment is not None and moment > now + LEEWAY:
            raise InvalidCredential(f"The token is not valid before {_written(moment)}; check the issuer's clock.")
    return issued_at, expires_at


def require_unexpired(expires_at: datetime, now: datetime) -> None:
    """Refuse what expired (RFC 7519, section 4.1.4), with LEEWAY for the clocks."""
    if now >= expires_at + LEEWAY:
        raise InvalidCredential(f"The token expired at {_written(expires_at)}; get a fresh one.")


def email(claims: Claims) -> str | None:
    """The `email` claim when it looks like an address; empty strings (Supabase) and nonsense are none."""
    value = _text(claims, ("email",), 320)
    return value if value and _EMAIL.fullmatch(value) else None


def email_verified(issuer: Issuer, claims: Claims) -> bool | None:
    """Whether the issuer vouches for the address. Supabase never does: its only flag is one the user can edit.

    None where Clerk does not say: a custom claim may hold the address alone, and its API and webhooks say the rest.
    """
    if issuer.kind == "clerk" and "email_verified" not in claims:
        return None
    return issuer.kind != "supabase" and email(claims) is not None and claims.get("email_verified") is True


def full_name(claims: Claims) -> str | None:
    return _text(claims, ("name", "full_name"), 255)


def username(claims: Claims) -> str | None:
    return _text(claims, ("preferred_username", "username"), 255)


def image_url(claims: Claims) -> str | None:
    value = _text(claims, ("picture", "image_url"), 2048)
    return value if value and value.startswith(("https://", "http://")) else None


def _check_audience(wanted: str | None, claims: Claims) -> None:
    found = claims.get("aud")
    audiences = found if isinstance(found, list) else [found]
    if wanted is None and "aud" in claims:
        raise InvalidCredential("The token names an audience (aud), and none is configured here.")
    if wanted is not None and wanted not in audiences:
        raise InvalidCredential("The token is meant for another audience (aud); ask for one for this API.")


def _check_clerk(issuer: Issuer, header: Claims, claims: Claims, *, from_cookie: bool) -> None:
    """Session tokens only: all kinds of an instance's tokens bear the same signature."""
    is_session = (
        header.get("cat", _CLERK_SESSION) == _CLERK_SESSION
        and claims["sub"].startswith("user_")
        and is_text(claims.get("sid"), MAX_SUBJECT)
    )
    if not is_session:
        raise InvalidCredential("This is not a session token; send what getToken() gives without a template.")
    party = claims.get("azp")
    # Native apps and top-level navigations get tokens without `azp`. A header cannot be sent by a foreign page, so
    # there it may be missing; a cookie can.
    if issuer.authorized_parties and ("azp" in claims or from_cookie) and party not in issuer.authorized_parties:
        raise InvalidCredential("The token was made for another origin (azp); sign in through this application.")
    status = claims.get("sts", "active")
    if status == "pending":
        raise InvalidCredential("The session is pending: finish the tasks the sign-in asks for, then try again.")
    if status != "active":
        raise InvalidCredential("The session is not active; sign in again.")


def _check_supabase(claims: Claims) -> None:
    """Users only: the legacy `anon` and `service_role` keys are JWTs by the same secret.

    Anonymous users pass: Supabase gives them the role and a lasting subject, they exist only where the project's
    owner switched them on, and they stay the same user when they sign up. They have no email; the invite gates them.
    """
    if claims.get("role") != SUPABASE_AUDIENCE:
        raise InvalidCredential("This is not a user's token (role); never send the anon or service_role key.")
    if claims.get("client_id") not in (None, ""):
        raise InvalidCredential("Tokens issued to third-party applications (client_id) are not accepted.")


def _moment(claims: Claims, name: str) -> datetime:
    """A NumericDate, fractions included (RFC 7519, section 2), before the year 3000."""
    value = claims[name]
    # The comparison also sorts out NaN, infinities and integers too long for a float, none of which may reach datetime.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _YEAR_3000:
        raise InvalidCredential(f"The token's {name} is not a time in seconds.")
    return datetime.fromtimestamp(value, UTC)


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _text(claims: Claims, names: tuple[str, ...], longest: int) -> str | None:
    for name in names:
        value = claims.get(name)
        if isinstance(value, str) and is_text(value.strip(), longest):
            return value.strip()
    return None
