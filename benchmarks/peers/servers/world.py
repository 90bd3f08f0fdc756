"""What the contestants are told at their start, the pool that each has, and who a token speaks for."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import jwt
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

VARIABLE = "PEERS_WORLD"
"""The environment variable that names the file with all of it."""
POOL = 10
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class World:
    """`limits` of each tier: portfolios and AI messages, None without limit. `scans_tag` begins cursors of scans."""

    database_url: str
    jwks: Mapping[str, Any]
    issuer: str
    scans_tag: str
    limits: Mapping[str, tuple[int | None, int | None]]

    @classmethod
    def told(cls) -> "World":
        return cls(**json.loads(Path(os.environ[VARIABLE]).read_text()))

    def limits_of(self, tier: str, used: int) -> dict[str, Any]:
        portfolios, messages = self.limits[tier]
        return {
            "max_portfolios": portfolios,
            "max_ai_messages": messages,
            "ai_messages_used": used,
            "ai_messages_remaining": None if messages is None else max(0, messages - used),
            "ai_messages_reset_at": next_month(datetime.now(UTC)),
        }


def next_month(now: datetime) -> datetime:
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


async def open_pool(world: World) -> Any:
    """Connections that nobody resets between two uses, since nothing here sets anything on them."""

    async def leave(_connection: Any) -> None:
        pass

    settings = {"timezone": "UTC"}
    return await asyncpg.create_pool(
        world.database_url, min_size=POOL, max_size=POOL, reset=leave, server_settings=settings
    )


class Tokens:
    """Verifies tokens of the issuer: RS256, by the keys of its JWK set."""

    def __init__(self, world: World) -> None:
        self._issuer = world.issuer
        self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(dict(world.jwks)).keys}
        self._remembered: dict[bytes, tuple[str, float]] = {}

    def verify(self, token: str) -> tuple[str, float]:
        """Subject, and when it expires; `jwt.PyJWTError` where it does not hold."""
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        options: Any = {"require": ["exp", "iat", "iss", "sub"], "verify_aud": False}
        claims = jwt.decode(token, key, algorithms=["RS256"], issuer=self._issuer, options=options)
        return claims["sub"], claims["exp"]

    def remembered(self, token: str) -> str:
        """The subject; a token that was verified before is not verified again until it expires."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._remembered.get(digest)
        if known is None or known[1] <= time.time():
            known = self.verify(token)
            if len(self._remembered) >= _REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[digest] = known
        return known[0]


def bearer(request: HTTPConnection) -> str:
    """The token of a request; 401 without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise HTTPException(401, "Send a token.")
    return token


def subject(tokens: Tokens, request: HTTPConnection) -> str:
    """Who asks, by the cache; 401 where the token does not hold."""
    try:
        return tokens.remembered(bearer(request))
    except (jwt.PyJWTError, KeyError):
        raise HTTPException(401, "The token does not hold.") from None
