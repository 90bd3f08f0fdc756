"""What llm and completions speak of: turns, the endpoint, one attempt's failure, and the bounds of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import urlsplit

TIMEOUT = 45.0
"""Seconds for an answer, both attempts and the pause between them included."""
MAX_ANSWER = 32_000
"""Characters; the rest of a longer answer is cut off."""
NO_KEY = "none"
"""What is sent where there is no key, as local servers have it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation, as the model is shown it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model is: `base_url` ends before `/chat/completions`. The key is shown by no repr."""

    base_url: str
    model: str
    api_key: str = field(default=NO_KEY, repr=False)

    @property
    def host(self) -> str | None:
        """What of the URL may be logged: the rest can hold secrets."""
        return urlsplit(self.base_url).hostname


class Failure(Exception):
    """One attempt without an answer. `reason` is for the log, `public` for the person who asked.

    `passing`: the same request may succeed in a moment. `retry_after`: seconds, where the server limits us.
    """

    def __init__(
        self,
        reason: str,
        *,
        public: str = "The language model gave no answer. Try again in a moment.",
        passing: bool = False,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.public = public
        self.passing = passing
        self.retry_after = retry_after


class Client(Protocol):
    """Asks an endpoint once."""

    async def answer(self, turns: Sequence[Turn]) -> str: ...

    async def aclose(self) -> None: ...
