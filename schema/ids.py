"""Global ids: base64url without padding of `Type:uuid`. What an id leads to is not known here."""

import base64
import binascii
from uuid import UUID

_MAX_LENGTH = 128


def encode(type_name: str, key: UUID) -> str:
    return base64.urlsafe_b64encode(f"{type_name}:{key}".encode()).rstrip(b"=").decode()


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
