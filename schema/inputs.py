"""What every input of a mutation shares: the idempotency key, checks of texts, a digest. Fields are the nouns'."""

import hashlib
import unicodedata
from dataclasses import fields
from datetime import datetime
from typing import Any

import orjson
import strawberry
from strawberry.utils.str_converters import to_camel_case

from errors import Faults

MAX_KEY_LENGTH = 255
_UNWANTED = {"Cc", "Cs", "Zl", "Zp"}


def is_clean(text: str) -> bool:
    """No control characters, lone surrogates or line separators."""
    return text.isprintable() or not any(unicodedata.category(character) in _UNWANTED for character in text)


def is_visible(text: str) -> bool:
    """Something to see: more than blanks, control and format characters such as the zero-width space."""
    if text.isascii() and text.isprintable():
        return not text.isspace() and text != ""
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


@strawberry.input(description="What every mutation takes.")
class MutationInput:
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Send the same key with a retry and the first outcome is returned, for 24 hours. "
        "1 to 255 characters; a UUID does well.",
    )

    def find_faults(self, faults: Faults) -> None:
        """Add every fault of this input. Shape only: what it means is for the rules."""
        key = self.idempotency_key
        if key is not None and not (1 <= len(key) <= MAX_KEY_LENGTH and is_clean(key)):
            faults.add("input.idempotencyKey", "1 to 255 characters without control characters.")
        self.check_fields(faults)

    def check_fields(self, faults: Faults) -> None:
        """Add the faults of the noun's own fields, each at `input.<field>`."""

    def given(self) -> dict[str, Any]:
        """The fields that were sent, null included, without the idempotency key."""
        sent = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "idempotency_key"}
        return {name: value for name, value in sent.items() if value is not strawberry.UNSET}

    def digest(self) -> bytes:
        """SHA-256 of what was sent, to tell a retry from another request under the same key."""
        return hashlib.sha256(orjson.dumps(self.given(), option=orjson.OPT_SORT_KEYS)).digest()


def check_text(faults: Faults, name: str, value: str, *, longest: int) -> None:
    """A line of text: not blank, at most `longest` characters, nothing invisible in it."""
    path, looked_at = f"input.{to_camel_case(name)}", value[: longest + 1]
    faults.unless(is_visible(looked_at), path, "Not empty.")
    faults.unless(len(value) <= longest, path, f"At most {longest} characters.")
    faults.unless(is_clean(looked_at), path, "No control characters.")


def check_lines(faults: Faults, name: str, value: str, *, longest: int) -> None:
    """A text of several lines, with tabs: at most `longest` characters, nothing invisible in it."""
    # To look at each character of megabytes would keep everybody else waiting.
    path, looked_at = f"input.{to_camel_case(name)}", value[: longest + 1]
    faults.unless(len(value) <= longest, path, f"At most {longest} characters.")
    within_lines = looked_at.replace("\r\n", "").replace("\n", "").replace("\t", "")
    faults.unless(is_clean(within_lines), path, "No control characters but line breaks and tabs.")


def check_future(faults: Faults, name: str, value: datetime, *, now: datetime) -> None:
    faults.unless(value > now, f"input.{to_camel_case(name)}", "A moment in the future.")
