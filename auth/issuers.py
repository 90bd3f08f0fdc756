"""Whom we believe: each issuer with its algorithms, keys and audience, from Settings. Checking is the verifier's."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

import httpx

from auth.keys import KeySource, SharedSecret
from auth.remote_keys import RemoteKeys
from settings import OidcIssuer, Settings, SettingsError

Kind = Literal["clerk", "supabase", "oidc"]
SUPABASE_AUDIENCE = "authenticated"


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted issuer. A token is never asked which algorithm, key or audience to use."""

    kind: Kind
    issuer: str
    """The `iss` of its tokens, to the letter."""
    keys: Mapping[str, KeySource] = field(repr=False)
    """The algorithms that count, each with where its keys are; so HS256 can only ever meet the shared secret."""
    audience: str | None = None
    """The `aud` that must be there. None: a token with any `aud` is for somebody else (RFC 7519, section 4.1.3)."""
    authorized_parties: tuple[str, ...] = ()
    """The `azp` that count, for Clerk; empty: any."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The `alg` values that count, to the letter (RFC 8725, section 3.1)."""
        return tuple(self.keys)


def issuers_from(settings: Settings, http: httpx.AsyncClient) -> tuple[Issuer, ...]:
    """The issuers that are configured; nothing is fetched yet. `SettingsError` names a variable that is wrong.

    The local issuer's are not among them: see `LocalIssuer.issuers`.
    """
    issuers: list[Issuer] = []
    if settings.clerk_issuer_url is not None:
        issuers.append(_clerk(settings, settings.clerk_issuer_url, http))
    if settings.supabase_url is not None:
        issuers.append(_supabase(settings, settings.supabase_url, http))
    issuers += [_oidc(settings, entry, http) for entry in settings.oidc_issuers]
    names = [issuer.issuer for issuer in issuers]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"OIDC_ISSUERS: {name} is configured twice; keep one of them.")
    return tuple(issuers)


def _clerk(settings: Settings, name: str, http: httpx.AsyncClient) -> Issuer:
    _require_safe(settings, "CLERK_ISSUER", name)
    address = settings.clerk_jwks_url or f"{name}/.well-known/jwks.json"
    _require_safe(settings, "CLERK_JWKS_URL", address)
    return Issuer(
        "clerk",
        name,
        _each(("RS256",), RemoteKeys(http, name, address)),
        audience=settings.clerk_audience,
        authorized_parties=settings.clerk_authorized_parties,
    )


def _supabase(settings: Settings, url: str, http: httpx.AsyncClient) -> Issuer:
    _require_safe(settings, "SUPABASE_URL", url)
    name = f"{url}/auth/v1"
    keys = dict(_each(("ES256", "RS256"), RemoteKeys(http, name, f"{name}/.well-known/jwks.json")))
    if settings.supabase_jwt_secret is not None:
        try:
            keys["HS256"] = SharedSecret(settings.supabase_jwt_secret.get_secret_value())
        except ValueError as error:
            raise SettingsError(f"SUPABASE_JWT_SECRET: {error}; copy the legacy JWT secret of the project.") from None
    return Issuer("supabase", name, MappingProxyType(keys), audience=SUPABASE_AUDIENCE)


def _oidc(settings: Settings, entry: OidcIssuer, http: httpx.AsyncClient) -> Issuer:
    for address in (entry.issuer, entry.jwks_url):
        if address is not None:
            _require_safe(settings, "OIDC_ISSUERS", address)
    if not entry.algorithms or not entry.audience.strip():
        raise SettingsError(f"OIDC_ISSUERS: {entry.issuer} needs an audience and at least one algorithm.")
    source = RemoteKeys(http, entry.issuer, entry.jwks_url)
    return Issuer("oidc", entry.issuer, _each(entry.algorithms, source), audience=entry.audience)


def _each(algorithms: tuple[str, ...], source: KeySource) -> Mapping[str, KeySource]:
    return MappingProxyType(dict.fromkeys(algorithms, source))


def _require_safe(settings: Settings, variable: str, url: str) -> None:
    """Keys that come over plain http are anybody's; on this machine, and outside production, that may do."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{variable}: {url} is not a URL; write https://host.")
    if parts.scheme == "http" and settings.environment == "production" and not _is_loopback(parts.hostname):
        raise SettingsError(f"{variable}: {url} is not safe in production; write https://.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
