"""The one clock: every rule, default and signature check reads the time here, so that tests can move it."""

from datetime import UTC, datetime, timedelta

_offset = timedelta()


def now() -> datetime:
    """The present time, UTC and timezone-aware."""
    return datetime.now(UTC) + _offset


def move(by: timedelta) -> None:
    """Shift the clock of this process for good; for tests."""
    global _offset
    _offset += by


def reset() -> None:
    """Undo every move; for tests."""
    global _offset
    _offset = timedelta()
