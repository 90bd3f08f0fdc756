"""Clerk's user object, read defensively, and the Backend API that has it. What follows from it is in domain."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from errors import RateLimited, UpstreamFailed

TIMEOUT = 10.0
"""Seconds for one call, body included."""
MAX_BODY = 1024 * 1024
MAX_RETRY_AFTER = 60
"""Seconds: Clerk counts by windows of 10, so a longer wish is a mistake."""
_RETRY_AFTER = 10  # where a 429 does not say

_API_VERSION = "2026-05-12"  # the user object below is read as this version has it
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_MILLISECONDS = 253_402_300_799_999  # the end of the year 9999, where datetime ends


@dataclass(frozen=True, slots=True)
class ClerkUser:
    """A user as Clerk has it at `updated_at`. None: there is none, or it was nothing one could show."""

    id: str
    updated_at: datetime
    email: str | None
    email_verified: bool
    full_name: str | None
    username: str | None
    image_url: str | None


class ClerkApi:
    """The part of Clerk's Backend API that is asked for. The secret key goes into its header and nowhere else."""

    def __init__(self, http: httpx.AsyncClient, secret_key: str, base_url: str = "https://api.clerk.com") -> None:
        self._http = http
        self._users = f"{base_url.rstrip('/')}/v1/users/"
        self._headers = {
            "Authorization": f"Bearer {secret_key}",
            "Clerk-API-Version": _API_VERSION,
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a few compressed bytes could become gigabytes
        }

    async def user(self, user_id: str) -> ClerkUser | None:
        """The user of this id, or None when Clerk has none.

        `RateLimited` when Clerk wants to be left alone for a while, `UpstreamFailed` for every other failure.
        """
        if not _USER_ID.fullmatch(user_id):
            return None  # no id of Clerk's, and nothing to put into a path
        try:
            async with asyncio.timeout(TIMEOUT):
                status, headers, body = await self._get(self._users + user_id)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise UpstreamFailed(f"Clerk did not answer: {type(error).__name__}.") from None
        if status == 404:
            return None
        if status == 429:
            raise RateLimited("Clerk limits our requests.", _retry_after(headers))
        if status != 200:
            raise UpstreamFailed(f"Clerk answered with status {status}. With 401, check CLERK_SECRET_KEY.")
        try:
            user = user_of(json.loads(body))
        except (ValueError, RecursionError):
            raise UpstreamFailed("Clerk's answer is not a user object.") from None
        if user.id != user_id:
            raise UpstreamFailed("Clerk answered with another user than the one asked for.")
        return user

    async def _get(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        body = bytearray()
        async with self._http.stream("GET", url, headers=self._headers, follow_redirects=False) as answer:
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > MAX_BODY:
                    raise UpstreamFailed(f"Clerk's answer is over {MAX_BODY} bytes.")
        return answer.status_code, answer.headers, bytes(body)


def _retry_after(headers: Mapping[str, str]) -> int:
    """Seconds, within reason; a date (RFC 9110, section 10.2.3) is not what Clerk sends."""
    wish = headers.get("Retry-After", "")
    return min(max(int(wish), 1), MAX_RETRY_AFTER) if re.fullmatch(r"[0-9]{1,9}", wish) else _RETRY_AFTER


def user_of(document: object) -> ClerkUser:
    """Read a user object of the Backend API or a webhook; unknown members are left alone.

    `ValueError`, naming the member, without a usable `id` or `updated_at`. Every other member that is missing, unfit,
    too long or not clean text counts as absent: one odd name must not keep an account from being known.
    """
    subject = subject_of(document)
    if not isinstance(document, dict) or subject is None:
        raise ValueError("it has no usable `id`")
    email, verified = _primary_email(document)
    names = (clean(document.get("first_name"), 255), clean(document.get("last_name"), 255))
    image_url = clean(document.get("image_url"), 2048)
    return ClerkUser(
        id=subject,
        updated_at=_moment(document.get("updated_at")),
        email=email,
        email_verified=verified,
        full_name=clean(" ".join(name for name in names if name), 255),
        username=clean(document.get("username"), 255),
        image_url=image_url if image_url and image_url.startswith(("https://", "http://")) else None,
    )


def subject_of(document: object) -> str | None:
    """The `id` of an object of Clerk's as it stands, if it can be the subject of an identity."""
    value = document.get("id") if isinstance(document, dict) else None
    return value if isinstance(value, str) and clean(value, 255) == value else None


def clean(value: object, longest: int) -> str | None:
    """`value` without white space around it, if it is text of 1 to `longest` characters that Postgres takes."""
    text = value.strip() if isinstance(value, str) else ""
    return text if 1 <= len(text) <= longest and not _CONTROL.search(text) else None


def _moment(value: object) -> datetime:
    """Times inside Clerk's objects are milliseconds since 1970, UTC."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_MILLISECONDS:
        raise ValueError("`updated_at` is not a time in milliseconds")
    return datetime.fromtimestamp(value // 1000, UTC).replace(microsecond=value % 1000 * 1000)


def _primary_email(user: Mapping[str, object]) -> tuple[str | None, bool]:
    """The primary address, found by its id, and whether Clerk has verified it."""
    primary, entries = user.get("primary_email_address_id"), user.get("email_addresses")
    if not isinstance(primary, str) or not isinstance(entries, list):
        return None, False
    entry = next((entry for entry in entries if isinstance(entry, dict) and entry.get("id") == primary), {})
    address = clean(entry.get("email_address"), 320)
    if address is None or "@" not in address:
        return None, False
    verification = entry.get("verification")
    return address, isinstance(verification, dict) and verification.get("status") == "verified"
