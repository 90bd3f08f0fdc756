"""The one clock: every rule, default and signature check reads the time here, so that it can be moved."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_offset = timedelta()
_file: Path | None = None
_version: tuple[int, int] | None = None  # of the file, when it was last read
_says = timedelta()
_LOOK_EVERY = 0.01  # seconds: a request asks for the time several times
_looked = -_LOOK_EVERY


def now() -> datetime:
    """The present time, UTC and timezone-aware."""
    present = datetime.now(UTC)
    return present + _offset + _followed() if _offset or _file is not None else present


def unmoved() -> datetime:
    """The present time whatever was moved, for a log, in which others write it too."""
    return datetime.now(UTC)


def move(by: timedelta) -> None:
    """Shift the clock of this process for good; for tests."""
    global _offset
    _offset += by


def reset() -> None:
    """Undo every move of this process; for tests."""
    global _offset
    _offset = timedelta()


def follow(file: Path | None) -> None:
    """Shift the clock of this process by what `file` says, now and a hundredth of a second after any change.

    None stops that.

    Never in production: who may write the file would decide when tokens expire and quotas begin anew.
    """
    global _file, _looked
    _file, _looked = file, -_LOOK_EVERY


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
    follow(_file)  # who moves the others sees it at once


def _followed() -> timedelta:
    global _looked, _version, _says
    if _file is None:
        return timedelta()
    if time.monotonic() - _looked < _LOOK_EVERY:
        return _says
    _looked = time.monotonic()
    try:
        found = _file.stat()
    except FileNotFoundError:
        _says, _version = timedelta(), None
        return _says
    # Both, because two writes may fall into one tick of the file system's clock.
    if (found.st_mtime_ns, found.st_ino) != _version:
        _says, _version = moved(_file), (found.st_mtime_ns, found.st_ino)
    return _says
