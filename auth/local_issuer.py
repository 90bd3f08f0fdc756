"""The issuer of development: signs tokens shaped like Clerk's, Supabase's and OIDC's; verifying them is verifier's."""

import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

import clock
from auth.issuers import SUPABASE_AUDIENCE, Issuer, Kind
from auth.local_keys import MAX_LIFETIME, LocalKeys, SigningKey

# Without the port, so that a token outlives a change of it.
ISSUERS: Mapping[Kind, str] = MappingProxyType(
    {
        "clerk": "http://localhost/dev/clerk",
        "supabase": "http://localhost/dev/supabase/auth/v1",
        "oidc": "http://localhost/dev/oidc",
    }
)
OIDC_AUDIENCE = "gatehouse"
_ALGORITHMS: Mapping[Kind, str] = MappingProxyType({"clerk": "RS256", "supabase": "ES256", "oidc": "RS256"})
_AUDIENCES: Mapping[Kind, str | None] = MappingProxyType(
    {"clerk": None, "supabase": SUPABASE_AUDIENCE, "oidc": OIDC_AUDIENCE}
)


class LocalIssuer:
    """Signs with keys kept in a folder. Needs no network, and neither does verifying what it signed."""

    def __init__(self, folder: Path) -> None:
        """Make the keys in `folder` where they are missing; see `LocalKeys`."""
        self._keys = LocalKeys(folder)

    def issuers(self) -> tuple[Issuer, ...]:
        """The three issuers for the `Verifier`; keys that another process rotates are seen at once."""
        return tuple(
            Issuer(kind, name, MappingProxyType({_ALGORITHMS[kind]: self._keys}), audience=_AUDIENCES[kind])
            for kind, name in ISSUERS.items()
        )

    def sign(
        self,
        kind: Kind,
        subject: str,
        *,
        expires_in: timedelta,
        email: str | None = None,
        email_verified: bool = True,
        full_name: str | None = None,
        username: str | None = None,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A token for `subject` that lives `expires_in`, at most MAX_LIFETIME.

        `claims` are added last and win. Supabase's shape has no place for `username` and keeps the name where the user
        can edit it, so neither is believed from there. `ValueError` for a lifetime or subject that cannot be.
        """
        if not timedelta() < expires_in <= MAX_LIFETIME:
            raise ValueError(f"A local token lives more than 0 s and at most {MAX_LIFETIME.days} days.")
        if kind == "clerk" and not subject.startswith("user_"):
            raise ValueError("A subject of Clerk's starts with user_.")
        now = clock.now()
        times = {"iat": _seconds(now), "exp": _seconds(now + expires_in)}
        payload: dict[str, Any] = {"iss": ISSUERS[kind], "sub": subject, **times}
        match kind:
            case "clerk":
                payload |= _clerk_claims(now) | _profile(email, email_verified, full_name, username)
            case "supabase":
                payload |= _supabase_claims(now, email, full_name)
            case "oidc":
                payload |= {"aud": OIDC_AUDIENCE} | _profile(email, email_verified, full_name, username)
        key = self._keys.signing_key(_ALGORITHMS[kind])
        headers = {"kid": key.kid} | ({"cat": "cl_B7d4PD111AAA"} if kind == "clerk" else {})
        return jwt.encode(payload | dict(claims or {}), key.private, key.algorithm, headers)

    def rotate(self) -> None:
        """Sign with new keys from now on; tokens of the old ones stay good."""
        self._keys.rotate()

    def jwks(self, kind: Kind) -> dict[str, Any]:
        """The JWK set of one issuer (RFC 7517, section 5), newest key first."""
        return {"keys": [_jwk(key) for key in self._keys.all_of(_ALGORITHMS[kind])]}

    def discovery(self, kind: Kind, base_url: str) -> dict[str, Any]:
        """The discovery document of one issuer, with addresses below `base_url` (`http://127.0.0.1:8000`).

        There is no endpoint to sign in at, so none is named: `gatehouse token` takes its place.
        """
        return {
            "issuer": ISSUERS[kind],
            "jwks_uri": f"{base_url.rstrip('/')}{urlsplit(ISSUERS[kind]).path}/.well-known/jwks.json",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHMS[kind]],
        }


def _clerk_claims(now: datetime) -> dict[str, Any]:
    """A session token of version 2, as Clerk documents it; `nbf` is 10 s back, as seen in its tokens."""
    return {
        "azp": "http://localhost",
        "fva": [0, -1],
        "jti": secrets.token_hex(10),
        "nbf": _seconds(now) - 10,
        "sid": f"sess_{secrets.token_hex(14)}",
        "sts": "active",
        "v": 2,
    }


def _supabase_claims(now: datetime, email: str | None, full_name: str | None) -> dict[str, Any]:
    return {
        "aud": SUPABASE_AUDIENCE,
        "role": SUPABASE_AUDIENCE,
        "email": email or "",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"full_name": full_name} if full_name else {},
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": _seconds(now)}],
        "session_id": str(uuid.uuid4()),
        "is_anonymous": False,
    }


def _profile(email: str | None, email_verified: bool, full_name: str | None, username: str | None) -> dict[str, Any]:
    claims: dict[str, Any] = {"email": email, "email_verified": email_verified} if email else {}
    return claims | {
        name: value for name, value in (("name", full_name), ("preferred_username", username)) if value is not None
    }


def _jwk(key: SigningKey) -> dict[str, Any]:
    shape = (
        RSAAlgorithm.to_jwk(key.private.public_key(), as_dict=True)
        if isinstance(key.private, RSAPrivateKey)
        else ECAlgorithm.to_jwk(key.private.public_key(), as_dict=True)
    )
    return {**shape, "kid": key.kid, "use": "sig", "alg": key.algorithm}


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
