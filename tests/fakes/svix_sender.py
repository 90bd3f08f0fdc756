"""The sending side of Svix, written from the standard and not with the library that the receiver uses."""

import base64
import hashlib
import hmac
import json
from datetime import datetime
from typing import Any
from uuid import uuid4

import clock

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_SECRET = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="


def message_id() -> str:
    return f"msg_{uuid4().hex}"


def encode(event: object) -> bytes:
    return json.dumps(event).encode()


def event(event_type: str, data: Any) -> bytes:
    return encode({"object": "event", "type": event_type, "data": data})


def signature(body: bytes, message: str, timestamp: int, secret: str = SECRET) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def headers(
    body: bytes, *, message: str | None = None, at: datetime | None = None, secret: str = SECRET, prefix: str = "svix"
) -> dict[str, str]:
    """What Svix sends beside `body`; a new message of now unless told otherwise."""
    message = message or message_id()
    timestamp = int((at or clock.now()).timestamp())
    return {
        f"{prefix}-id": message,
        f"{prefix}-timestamp": str(timestamp),
        f"{prefix}-signature": signature(body, message, timestamp, secret),
        "content-type": "application/json",
    }
