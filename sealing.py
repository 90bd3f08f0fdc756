"""Secrets that can be opened again: AES-256-GCM. What is worth sealing is not decided here."""

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Sealer:
    """Seals text bound to a context (the id of its row), so that a sealed value moved to another row does not open."""

    def __init__(self, key: str) -> None:
        """`key`: 32 bytes in base64, standard or URL-safe alphabet."""
        self._cipher = AESGCM(base64.urlsafe_b64decode(key.translate({43: "-", 47: "_"}) + "=="))

    def seal(self, text: str, context: str) -> bytes:
        """Version, nonce and ciphertext. Nonces are random: fine below 2^32 seals a key (NIST SP 800-38D, 8.3)."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, text.encode(), context.encode())

    def open(self, sealed: bytes, context: str) -> str | None:
        """The text, or None when the key has changed since or the value is not of this context."""
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, context.encode()).decode()
        except (InvalidTag, ValueError):
            return None
