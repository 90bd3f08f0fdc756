"""The one clock: every rule, default and signature check reads the time here, so that it can be moved."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

_offset = timedelta()
_file: Path | None = None
_version: tuple[int, int] | None = None  # of the file, when it was last read
_says = timedelta()


def now() -> datetime:
    """The present time, UTC and timezone-aware."""
    return datetime.now(UTC) + _offset + _followed()


def move(by: timedelta) -> None:
    """Shift the clock of this process for good; for tests."""
    global _offset
    _offset += by


def reset() -> None:
    """Undo every move of this process; for tests."""
    global _offset
    _offset = timedelta()


def follow(file: Path | None) -> None:
    """Shift the clock of this process by what `file` says, now and whenever it changes; None stops that.

    Never in production: who may write the file would decide when tokens expire and quotas begin anew.
    """
    global _file
    _file = file


def moved(file: Path) -> timedelta:
    """By how much those who follow `file` are shifted."""
    try:
        return timedelta(microseconds=int(file.read_text()))
    except (FileNotFoundError, ValueError, OverflowError):
        return timedelta()


def move_followers(file: Path, by: timedelta) -> None:
    """Shift all who follow `file`, until told otherwise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(str(by // timedelta(microseconds=1)))
    draft.replace(file)


def _followed() -> timedelta:
    global _version, _says
    if _file is None:
        return timedelta()
    try:
        found = _file.stat()
    except FileNotFoundError:
        return timedelta()
    # Both, because two writes may fall into one tick of the file system's clock.
    if (found.st_mtime_ns, found.st_ino) != _version:
        _says, _version = moved(_file), (found.st_mtime_ns, found.st_ino)
    return _says
