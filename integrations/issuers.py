"""Small JSON documents of issuers, fetched within bounds; when to fetch, and what keys mean, is for the caller."""

import json
import re
from collections.abc import Mapping

import httpx

import clock

MAX_BODY = 256 * 1024
_MAX_URL = 2048
_DISCOVERED_FOR = 24 * 3600.0


class FetchFailed(Exception):
    """The document could not be had; the message is for the log and holds nothing of the answer."""


async def fetch_json(http: httpx.AsyncClient, url: str) -> tuple[object, Mapping[str, str]]:
    """The JSON document at `url` and the answer's headers. The caller bounds the time.

    No redirects, no compression (a few bytes could become gigabytes), at most MAX_BODY bytes.
    """
    body = bytearray()
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with http.stream("GET", url, headers=headers, follow_redirects=False) as answer:
            if answer.status_code != 200:
                raise FetchFailed(f"HTTP {answer.status_code}")
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise FetchFailed("a compressed body, unasked")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    raise FetchFailed(f"a body over {MAX_BODY} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchFailed(type(error).__name__) from None
    try:
        return json.loads(body.decode()), answer.headers
    except (ValueError, RecursionError):
        raise FetchFailed("a body that is not JSON") from None


def max_age(headers: Mapping[str, str]) -> int | None:
    """How many seconds the answer says it may be kept (RFC 9111, section 5.2.2); 0 when it says not to."""
    directives = headers.get("Cache-Control", "").lower()
    if re.search(r"\bno-(?:cache|store)\b", directives):
        return 0
    found = re.search(r'(?:^|[\s,])max-age="?(\d{1,10})\b', directives)
    return int(found[1]) if found else None


class KeyAddress:
    """Where the JWK set of an issuer is: as configured, or as its discovery document says.

    The document is asked for once a day, or sooner when the address it gave stopped working.
    """

    def __init__(self, http: httpx.AsyncClient, issuer: str, jwks_url: str | None) -> None:
        self._http = http
        self._issuer = issuer
        self._url = jwks_url
        self._configured = jwks_url is not None
        self._ask_again_at = 0.0

    async def url(self) -> str:
        """`FetchFailed` when it is not known and discovery does not tell."""
        now = clock.now().timestamp()
        if self._url is not None and (self._configured or now < self._ask_again_at):
            return self._url
        try:
            self._url = await self._discover()
        except FetchFailed:
            if self._url is None:
                raise
        self._ask_again_at = now + _DISCOVERED_FOR
        return self._url

    def doubt(self) -> None:
        """The address did not work: ask discovery the next time."""
        self._ask_again_at = 0.0

    async def _discover(self) -> str:
        """OpenID Connect Discovery 1.0, section 4: the issuer must be the one asked for, to the letter."""
        address = f"{self._issuer.removesuffix('/')}/.well-known/openid-configuration"
        document, _ = await fetch_json(self._http, address)
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise FetchFailed("a discovery document of another issuer")
        url = document.get("jwks_uri")
        # Plain http is as safe as the discovery document itself: no safer, no worse, when that came over http too.
        schemes = ("https://", "http://") if self._issuer.startswith("http://") else ("https://",)
        if not isinstance(url, str) or not url.startswith(schemes) or len(url) > _MAX_URL:
            raise FetchFailed("a discovery document without a fit jwks_uri")
        return url
