"""JSON from outside, read one way only (RFC 8259, I-JSON of RFC 7493) and within bounds. What it means is not here.

Parsers differ in which of two members with one name counts, and stores in which strings they can keep, so that a text
which holds such a thing is refused instead of read in one of several ways.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

MAX_DEPTH = 100
LARGEST = 2**53
SMALLEST = 1e-15

_BLANKS = b" \t\r\n"
_PIECE = 256 * 1024
_MAX_SEARCHED = 4 * 1024 * 1024
_CONTAINERS = (dict, list)
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")


class NotStrict(ValueError):
    """The text is not accepted; the words say why and continue "This text …".

    `line` and `column` count characters from 1 where the place is known, else both are None.
    """

    def __init__(self, words: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(words if line is None else f"{words}, at line {line}, column {column}")
        self.line = line
        self.column = column


class NotJson(NotStrict):
    """It breaks the grammar of JSON, or is no UTF-8. `at_end` says that the text ends too early."""

    def __init__(self, reason: str, line: int, column: int, at_end: bool) -> None:
        super().__init__(f"is not JSON: {reason}", line, column)
        self.at_end = at_end


class Unstorable(NotStrict):
    """A string in it holds what neither UTF-8 nor a database can: half of a surrogate pair, or U+0000."""


class TooLarge(NotStrict):
    """It has more structure than allowed; nothing of it was read."""


def loads(raw: bytes, *, max_structure: int, max_depth: int = MAX_DEPTH) -> Any:
    """The value in a text. `max_structure` is in bytes outside of strings and blanks, each of which may cost dozens.

    Raises a `NotStrict`. A byte order mark is refused: who reads files takes it off.
    """
    structure = _structure(raw, max_structure)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _refusal(error, len(raw)) from None
    if b"\\u0000" in raw and (found := _ESCAPED_NUL.search(raw)):
        raise Unstorable("has the character U+0000 in a string", *_place(raw, found.start()))
    if repeats_a_name(structure, value, max_depth):
        raise NotStrict(f"has two members {_repeated_name(raw)} in one object")
    return value


def outside_of_strings(raw: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """What stands outside of strings, in pieces, each with the number of quotes that it was found between.

    While one is searched nothing else runs, be it in a thread, so that a large text at once would be too much.
    """
    at, inside = 0, False
    while at < len(raw):
        piece = raw[at : at + _PIECE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # a backslash and what it escapes stay together
            piece = raw[at : at + _PIECE + 1]
        at += len(piece)
        parts = piece.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        yield b"".join(parts[inside::2]), len(parts) - 1
        inside ^= len(parts) % 2 == 0


def repeats_a_name(structure: bytes, value: Any, max_depth: int) -> bool:
    """Whether an object of the text has two members of one name, by what stands outside of strings and what was read.

    Raises `NotStrict` where the nesting is too deep.
    """
    # Outside of strings, a colon stands behind the name of a member and nowhere else.
    return structure.count(b":") != _count_members(value, max_depth)


def _structure(raw: bytes, longest: int) -> bytes:
    """What stands outside of strings and is not blank. Raises `TooLarge`."""
    found: list[bytes] = []
    size, quotes = 0, 0
    for part, quotes_of_part in outside_of_strings(raw):
        found.append(part.translate(None, _BLANKS))
        size += len(found[-1])
        quotes += quotes_of_part
        # Two strings have structure between them, or the text is not JSON and may have millions of them.
        if size > longest or quotes > 2 * longest + 2:
            raise TooLarge(f"is larger than {longest} bytes without its strings")
    return b"".join(found)


def _refusal(error: orjson.JSONDecodeError, size: int) -> NotStrict:
    if "surrogate in string" in error.msg:
        return Unstorable("has half of a surrogate pair in a string", error.lineno, error.colno)
    at_end = size == 0 or error.msg in {"unexpected end of data", "input data is empty"}
    reason = "it ends too early" if at_end else error.msg
    return NotJson(reason, error.lineno, error.colno, at_end)


def _place(raw: bytes, offset: int) -> tuple[int, int]:
    start = raw.rfind(b"\n", 0, offset) + 1
    return raw.count(b"\n", 0, offset) + 1, len(raw[start:offset].decode()) + 1


def _count_members(value: Any, max_depth: int) -> int:
    """How many members the objects have. Raises `NotStrict` where the nesting is too deep."""
    members, depth = 0, 0
    level: list[Any] = [[value]]
    while level:
        if depth > max_depth:
            raise NotStrict(f"nests deeper than {max_depth} levels")
        below: list[Any] = []
        for item in level:
            parts = item
            if isinstance(item, dict):
                members += len(item)
                parts = item.values()
            below += [part for part in parts if isinstance(part, _CONTAINERS)]
        level = below
        depth += 1
    return members


def _repeated_name(raw: bytes) -> str:
    """The first name that an object has twice, quoted and cut; no name of a large text, where looking is dear."""
    if len(raw) > _MAX_SEARCHED:
        return "of one name"
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                repeated.append(name)
            names.add(name)

    json.loads(raw, object_pairs_hook=look)
    return f'"{repeated[0][:40]}"'


def _is_short(part: object) -> bool:
    return not isinstance(part, int | float) or part == 0 or SMALLEST <= abs(part) <= LARGEST


def fits(value: object, *, levels: int, most: int) -> bool:
    """Whether an object can be kept and given back as it is: nested so deep at most, and of so many bytes as JSON.

    Its numbers are within 2**53 of zero: beyond that, what is written depends on who writes it (RFC 8259, section 6).
    Nor are they so small that to write them without an exponent, as databases do, takes hundreds of digits.
    """
    if not isinstance(value, dict):
        return False
    level: list[object] = [value]
    for _ in range(levels):
        inside = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]  # type: ignore[attr-defined]  # or a list
        if not all(_is_short(part) for part in inside):
            return False
        level = [part for part in inside if isinstance(part, dict | list)]
    try:
        return not level and len(orjson.dumps(value)) <= most
    except orjson.JSONEncodeError:
        return False
