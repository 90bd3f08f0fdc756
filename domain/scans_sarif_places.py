"""Where a SARIF result is: a path that a person recognises, and lines. What is wrong there, is not here.

A path is relative where the file lets it be. Sections are those of SARIF 2.1.0.
"""

import re
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from domain import scans_values as values
from domain.scans_results import MAX_PATH, MAX_TARGET
from domain.scans_values import MAX_NUMBER, Members, Reading

_MAX_BASES = 20
_MAX_STEPS = 10
_LONGEST = 10 * MAX_PATH
# Two letters at least, since `C:` is a drive.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_DRIVE = re.compile(r"/[A-Za-z]:/")
_USER = re.compile(r"(?<=//)[^/?#@]*@")
_ROOTS = ("%SRCROOT%", "SRCROOT", "PROJECTROOT", "ROOTPATH")


class Place(NamedTuple):
    """The path, and the lines and columns from 1, as far as they are known."""

    path: str | None = None
    start_line: int | None = None
    start_column: int | None = None
    end_line: int | None = None
    end_column: int | None = None


class Places:
    """Finds the places of the results of one run."""

    def __init__(self, run: Members, invocations: Sequence[tuple[str, Members]], at: str, read: Reading) -> None:
        self._read = read
        self._artifacts = [
            (read.object(artifact, "location", where), f"{where}.location")
            for where, artifact in read.objects(run, "artifacts", at)
        ]
        self._logical = list(read.objects(run, "logicalLocations", at))
        self._bases = read.object(run, "originalUriBaseIds", at)
        self._bases_at = f"{at}.originalUriBaseIds"
        # Of the others, which lie within these, the part below belongs to the path.
        absolute = (self._base(name) for name in islice(self._bases, _MAX_BASES))
        self._roots = [root for root, below in absolute if root and not below]
        for where, invocation in invocations[:_MAX_BASES]:
            directory = read.object(invocation, "workingDirectory", where)
            root = read.text(directory, "uri", f"{where}.workingDirectory") if directory else None
            self._roots += [_folder(root)] if root and _SCHEME.match(root) else []
        # Of two roots, one within the other, the inner one is what was scanned.
        self._roots.sort(key=len, reverse=True)
        self._known: dict[tuple[str, str | None], str | None] = {}

    def of(self, result: Members, at: str) -> Place:
        """Where a result is: its first location (3.27.12), else what was analysed (3.27.13)."""
        for where, location in self._read.objects(result, "locations", at):
            physical = self._read.object(location, "physicalLocation", where)
            physical_at = f"{where}.physicalLocation"
            artifact = self._read.object(physical, "artifactLocation", physical_at)
            path = self._path(artifact, f"{physical_at}.artifactLocation")
            region = self._read.object(physical, "region", physical_at)
            lines = [
                _number(self._read.integer(region, name, f"{physical_at}.region"))
                for name in ("startLine", "startColumn", "endLine", "endColumn")
            ]
            return Place(path or self._logical_path(location, where), *lines)
        return Place(self._path(self._read.object(result, "analysisTarget", at), f"{at}.analysisTarget"))

    def root(self) -> str | None:
        """What was scanned, by the name that its root has."""
        names = [name for name in _ROOTS if name in self._bases] or list(islice(self._bases, 1))
        root = self._base(names[0])[0] if names else None
        if root is None or not root.lower().startswith("file:"):
            return values.line(address(root), MAX_TARGET) if root else None
        return values.line(unquote(_of_file(root[5:]).rstrip("/").rpartition("/")[2]), MAX_TARGET)

    def _path(self, artifact: Members, at: str) -> str | None:
        """The path of an artifact location (3.4)."""
        if not artifact:
            return None
        uri = self._read.text(artifact, "uri", at)
        base = self._read.text(artifact, "uriBaseId", at)
        index = self._read.integer(artifact, "index", at)
        if uri is None and index is not None and 0 <= index < len(self._artifacts):
            location, at = self._artifacts[index]
            uri = self._read.text(location, "uri", at)
            base = self._read.text(location, "uriBaseId", at)
        if not uri:
            return None
        if (uri, base) not in self._known:
            self._known[uri, base] = self._recognisable(uri[:_LONGEST], base)
        return self._known[uri, base]

    def _recognisable(self, uri: str, base: str | None) -> str | None:
        if base is not None and not _SCHEME.match(uri):
            uri = self._base(base)[1] + uri
        root = next((root for root in self._roots if uri.startswith(root)), "")
        uri = uri.removeprefix(root)
        if uri[:5].lower() == "file:":
            uri = _of_file(uri[5:])
        elif _SCHEME.match(uri):
            return values.line(address(uri), MAX_PATH)
        return values.line(unquote(uri).removeprefix("./"), MAX_PATH)

    def _base(self, name: str) -> tuple[str | None, str]:
        """The absolute URI of a base id where it is told, and the path below it, as section 3.14.14 resolves it."""
        below = ""
        for _ in range(_MAX_STEPS):
            at = f"{self._bases_at}.{values.shown(name)}"
            location = self._read.object(self._bases, name, self._bases_at)
            uri = self._read.text(location, "uri", at) if location else None
            if uri and _SCHEME.match(uri):
                return _folder(uri) + below, below
            below = (_folder(uri or "") + below)[:_LONGEST]
            following = self._read.text(location, "uriBaseId", at) if location else None
            if following is None:
                break
            name = following
        return None, below

    def _logical_path(self, location: Members, at: str) -> str | None:
        """The name of a function, resource or package, where there is no file (3.33)."""
        for where, logical in self._read.objects(location, "logicalLocations", at):
            index = self._read.integer(logical, "index", where)
            indexed = index is not None and 0 <= index < len(self._logical)
            at, named = self._logical[index or 0] if indexed else (where, logical)
            name = self._read.text(named, "fullyQualifiedName", at) or self._read.text(named, "name", at)
            return values.line(name, MAX_PATH)
        return None


def address(uri: str) -> str:
    """A URI without the name and password of a user, which are no part of a place."""
    return _USER.sub("", uri[:_LONGEST], count=1)


def _folder(uri: str) -> str:
    """A URI to which others can be joined, although the file leaves out the slash at its end."""
    return uri[:_LONGEST] + ("" if uri.endswith("/") or not uri else "/")


def _of_file(rest: str) -> str:
    """The path of a `file:` URI (RFC 8089): `///C:/a` is `C:/a`, `//host/a` is a share."""
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        rest = slash + path if host in {"", "localhost"} else rest
    return rest[1:] if _DRIVE.match(rest) else rest


def _number(number: int | None) -> int | None:
    """A line or column; some tools say 0 where they know none."""
    return number if number is not None and 1 <= number <= MAX_NUMBER else None
