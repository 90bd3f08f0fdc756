"""Reading reports to push, from files and stdin, within bounds. What is in them is for the server to judge."""

import codecs
import sys
from pathlib import Path

from cli.sync.failures import Failure

MAX_BYTES = 25 * 1024 * 1024
"""Of one report; the server takes no larger one."""
STDIN = "-"


def text_of(name: str) -> str:
    """The text of a file, or of stdin for `-`; `Failure` where there is none, or too much of it."""
    try:
        content = _read(name)
    except OSError as error:
        raise Failure("FILE", f"It cannot be read: {error.strerror or error}.", "Check the path.") from None
    if len(content) > MAX_BYTES:
        remedy = "Have the tool write less, or split its runs over several files."
        raise Failure("TOO_LARGE", "A report has at most 25 MiB; this one has more.", remedy)
    if not content.strip():
        raise Failure("FILE", "It is empty.", "Did the tool write it? Its own output says more.")
    return _decoded(content)


def _read(name: str) -> bytes:
    """At most one byte more than is allowed, however long the file is."""
    if name == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(name).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _decoded(content: bytes) -> str:
    # What PowerShell writes with `>` is UTF-16 with a mark in front.
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if marked else "utf-8")
    except UnicodeDecodeError as error:
        words = f"It is not text in UTF-8 (byte {error.start + 1})."
        raise Failure("FILE", words, "Is it the report, in SARIF or Gatehouse's JSON?") from None
