"""Strings that no database can store: NUL and lone surrogates, in variables and in the literals of a document."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from graphql import ArgumentNode, DocumentNode, ObjectFieldNode, StringValueNode, Visitor, visit

from engine.answers import InputFault

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_MESSAGE = "NUL (U+0000) and lone surrogates cannot be stored; leave them out."
_MAX_DEPTH = 64
_MAX_FAULTS = 20
_MAX_PATH = 200

# The usual classes first: to ask an abstract one takes ten times as long.
_OBJECTS = (dict, Mapping)
_CONTAINERS = (dict, list, Mapping)

# The steps to a value, innermost first. Joined only for a fault: a long key above a long list must not be copied often.
_Steps = tuple["_Steps", str | int] | None


def unstorable_strings(variables: Mapping[str, Any]) -> tuple[InputFault, ...]:
    """The first faults of the strings, keys included. To nest deeper than 64 levels is a fault as well."""
    return tuple(islice(_walk(variables), _MAX_FAULTS))


def _walk(variables: Mapping[str, Any]) -> Iterator[InputFault]:
    pending: list[tuple[Any, _Steps, int]] = [(variables, None, 0)]
    while pending:
        value, steps, depth = pending.pop()
        if depth > _MAX_DEPTH:
            yield InputFault(_path(steps), f"The value nests deeper than {_MAX_DEPTH} levels.")
            continue
        for key, item in value.items() if isinstance(value, _OBJECTS) else enumerate(value):
            # A file may be megabytes of ASCII, in which to look for a surrogate takes a hundred times as long as to
            # know that. Spelled out, since nearly all strings end here and a call takes as long as the rest.
            if isinstance(item, str):
                if ("\0" in item or not item.isascii()) and _UNSTORABLE.search(item):
                    yield InputFault(_path((steps, key)), _MESSAGE)
            elif isinstance(item, _CONTAINERS):
                pending.append((item, (steps, key), depth + 1))
            if isinstance(key, str) and ("\0" in key or not key.isascii()) and _UNSTORABLE.search(key):
                yield InputFault(_path(steps) or "variables", _MESSAGE)


def _path(steps: _Steps) -> str:
    parts: list[str] = []
    while steps is not None:
        steps, key = steps
        parts.append(f"[{key}]" if isinstance(key, int) else f".{_UNSTORABLE.sub('?', key)}")
    return "".join(reversed(parts)).removeprefix(".")[:_MAX_PATH]


def faults_of_literals(document: DocumentNode) -> tuple[InputFault, ...]:
    """The first faults of the string literals; the path is that of the argument, as for a variable in its place."""
    visitor = _Literals()
    visit(document, visitor)
    return tuple(visitor.found[:_MAX_FAULTS])


class _Literals(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[InputFault] = []

    def enter_string_value(
        self, node: StringValueNode, _key: object, parent: Any, _path: object, ancestors: list[Any]
    ) -> None:
        if _UNSTORABLE.search(node.value):
            above = (*ancestors, parent)
            names = [place.name.value for place in above if isinstance(place, ArgumentNode | ObjectFieldNode)]
            self.found.append(InputFault(".".join(names), _MESSAGE))


def fault_of_surrogate(text: str, position: int) -> InputFault | None:
    """The fault of a lone surrogate at the position, where the parser stops at one, plain or escaped."""
    if re.match(r"\\u(?:\{0*)?[dD][89a-fA-F]|[\ud800-\udfff]", text[position : position + 20]):
        return InputFault("query", _MESSAGE)
    return None
