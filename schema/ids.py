"""Global ids: base64url without padding of `Type:uuid`. What an id leads to is not known here."""

import base64
import binascii
from uuid import UUID

from errors import NotFound

_MAX_LENGTH = 128


def encode(type_name: str, key: UUID) -> str:
    # Of names and UUIDs nothing comes to + or /, in which alone base64url is another.
    return binascii.b2a_base64(f"{type_name}:{key}".encode(), newline=False).rstrip(b"=").decode()


def decode(text: str) -> tuple[str, UUID] | None:
    """Type and key, or None for anything that `encode` did not make."""
    if len(text) > _MAX_LENGTH:
        return None
    try:
        type_name, _, key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(":")
        found = type_name, UUID(key)
    except (binascii.Error, ValueError):
        return None
    # Only the one spelling: an id is compared, cached and logged as text by clients.
    return found if encode(*found) == text else None


def key_of(type_name: str, text: str, *, called: str | None = None) -> UUID:
    """The key in the id of such an object; `NotFound` for the id of anything else. `called`: its words for people."""
    found, key = decode(text) or ("", None)
    if found != type_name or key is None:
        raise NotFound(f"You have no such {called or type_name.lower()}.")
    return key
