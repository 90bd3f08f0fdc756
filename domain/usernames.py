"""How a username is formed and found free. Who may change one is for `domain.accounts`."""

import re
import secrets
import unicodedata

from db import queries
from db.models import USERNAME
from db.session import Session

RESERVED = frozenset(
    {"admin", "administrator", "api", "gatehouse", "help", "me", "root", "security", "support", "system"}
)
"""Names that would let somebody pass for whoever runs the service."""

_MAX_BASE = 24  # leaves room for a number behind it


def base_of(text: str) -> str | None:
    """The username that `text` (a provider's username, or the local part of an address) suggests, if any."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9_]+", "-", ascii_text).strip("-_")[:_MAX_BASE].strip("-_")
    return base if re.fullmatch(USERNAME, base) else None


async def free(session: Session, base: str) -> str:
    """`base` if nobody has it, else `base2`, `base3` …, and a random number once those are gone.

    The unique index decides between two who ask at once.
    """
    names = [base, *(f"{base}{number}" for number in range(2, 10))]
    taken = RESERVED | await queries.accounts.taken_usernames(session, names)
    return next((name for name in names if name not in taken), f"{base}{secrets.randbelow(900_000) + 100_000}")


def is_made_from(base: str, username: str) -> bool:
    """Whether `free` may have made `username` from `base`."""
    return username.startswith(base) and (username == base or username[len(base) :].isdecimal())


def placeholder() -> str:
    """A username for somebody of whom nothing is known yet; replaced by the first fact about them."""
    return f"user-{secrets.token_hex(4)}"


def is_placeholder(username: str) -> bool:
    """Whether `placeholder` may have made it."""
    return re.fullmatch("user-[0-9a-f]{8}", username) is not None
