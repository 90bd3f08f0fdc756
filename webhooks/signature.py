"""Svix signatures (Standard Webhooks 1.0.0): who sent a message, and that it is fresh. Nothing it says is read here."""

import asyncio
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from starlette.datastructures import Headers

import clock
from errors import InvalidCredential

TOLERANCE = timedelta(minutes=5)
"""How far the time of an attempt may be from ours, both ways; a retry is signed anew, so a late one is fresh too."""

_BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
# No full stop in an id: it is what separates id, time and body in the text that is signed.
_MESSAGE_ID = re.compile(r"[!-\-/-~]{1,255}")
_TIMESTAMP = re.compile(r"[0-9]{1,11}")
_SIGNATURES = re.compile(rf"[a-z0-9]+,{_BASE64}(?: [a-z0-9]+,{_BASE64})*")
_MAX_SIGNATURES = 4096  # characters of the header: some ninety signatures, where rotation needs two


async def verify(headers: Headers, body: bytes, secrets: Sequence[str]) -> str:
    """The id of a message that was signed with one of `secrets`, over its raw body; else `InvalidCredential`.

    Svix computes the signature. Its own `verify` is left aside: it reads the system's clock, where ours is
    `clock.now()`, and answers odd signatures with ValueError, binascii.Error or UnicodeDecodeError. Here a header
    that is odd in any part, or sent twice, is not verified, whatever else it holds; one match among several
    well-formed signatures is enough, and versions other than v1 are skipped.
    """
    message_id, timestamp, signatures = _well_formed(headers)
    sent_at = datetime.fromtimestamp(int(timestamp), UTC)
    if abs(clock.now() - sent_at) > TOLERANCE:
        raise InvalidCredential(
            "The timestamp is more than five minutes away. Sign each attempt anew; check the clocks."
        )
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidCredential("The body is not UTF-8, so it is not what was signed.") from None
    # In a thread: the first call imports svix, and a large body is not hashed in a moment.
    expected = await asyncio.to_thread(_sign, secrets, message_id, sent_at, text)
    if not any(hmac.compare_digest(ours, theirs) for theirs in signatures for ours in expected):
        raise InvalidCredential("No signature fits. Check that the webhook secret is that of this endpoint.")
    return message_id


def _well_formed(headers: Headers) -> tuple[str, str, list[str]]:
    """Id, timestamp and signatures from the `svix-*` headers, else from the `webhook-*` ones; never from both."""
    families = {name.partition("-")[0] for name in headers}
    prefix = "webhook" if "webhook" in families and "svix" not in families else "svix"
    shapes = {"id": _MESSAGE_ID, "timestamp": _TIMESTAMP, "signature": _SIGNATURES}
    values = {}
    for name, shape in shapes.items():
        found = headers.getlist(f"{prefix}-{name}")
        if len(found) != 1 or len(found[0]) > _MAX_SIGNATURES or not shape.fullmatch(found[0]):
            raise InvalidCredential(f"The header {prefix}-{name} must be there once and well-formed.")
        values[name] = found[0]
    return values["id"], values["timestamp"], values["signature"].split(" ")


def _sign(secrets: Sequence[str], message_id: str, sent_at: datetime, text: str) -> list[str]:
    # Imported at first use: 48 MiB that only a deployment with webhooks needs.
    from svix.webhooks import Webhook  # noqa: PLC0415

    return [Webhook(secret).sign(message_id, sent_at, text) for secret in secrets]
