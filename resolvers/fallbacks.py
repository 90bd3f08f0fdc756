"""What the log says of documents that run uncompiled: the reason, a bounded number of times. Not why they do."""

import time
from collections import Counter

import structlog

_log = structlog.get_logger(__name__)

# Documents that nobody has sent before are a client's to make; in a minute each reason is told of so many of them.
_MOST = 10
_MINUTE = 60.0


class FallbackLog:
    """For `Engine(on_fallback=…)`: the reason is one of the engine's own words, and nothing of the document."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._told: Counter[str] = Counter()

    def __call__(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._since >= _MINUTE:
            self._since = now
            self._told.clear()
        self._told[reason] += 1
        if self._told[reason] <= _MOST:
            _log.info("engine.fallback", reason=reason)
