"""An HTTP request to the GraphQL request in it (GraphQL over HTTP, "Request"). What it asks is the engine's affair."""

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

import strict_json
from engine import GraphQLRequest, unstorable_strings
from errors import Faults, collect_faults
from resolvers.incoming import Fields
from resolvers.negotiation import is_json
from resolvers.refusals import BadRequest, BodyTooLarge, UnsupportedMediaType

_PARAMETERS = ("query", "operationName", "variables", "extensions")
_NAMES, _VARIABLES = (str, type(None)), (dict, type(None))
_MAX_QUERY_FIELDS = 100
# A file in a string may be large. What is not in strings is not data but structure, which costs far more to read.
_MAX_STRUCTURE = 1024 * 1024
_MAX_VALUES = 50_000
_LARGE = 1024 * 1024
_PARSING = asyncio.Semaphore(1)
_SMALL = 4 * 1024
_MOST_KNOWN = 256
_KNOWN: OrderedDict[bytes, GraphQLRequest] = OrderedDict()
_MAX_DEPTH = 1_024  # what orjson reads; variables that are too deep are the engine's to refuse, with their place
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def require_json(headers: Fields) -> None:
    """Refuse a body that is not plain JSON, before anything of it is read."""
    if not is_json(headers.getlist("content-type")):
        raise UnsupportedMediaType("Send the request as application/json in UTF-8.")
    if any(one.strip().lower() != "identity" for one in headers.getlist("content-encoding")):
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")


def of_query(query: bytes) -> GraphQLRequest:
    """The GraphQL request in the query of a URL; `BadRequest` or `BadUserInput` where there is none."""
    return _graphql_request(_from_query(query))


def is_large(body: bytearray) -> bool:
    """Whether to read it takes long enough that others must be served meanwhile: `of_large_body`."""
    return len(body) > _LARGE


def of_body(body: bytearray) -> GraphQLRequest:
    """The GraphQL request in a body, which is cleared; `BadRequest` or `BadUserInput` where there is none."""
    try:
        return _of_small_body(bytes(body)) if len(body) <= _SMALL else _graphql_request(_json_object(body, "The body"))
    finally:
        body.clear()


async def of_large_body(body: bytearray) -> GraphQLRequest:
    """`of_body` in a thread, and of one body at a time: each needs its size again."""
    try:
        async with _PARSING:
            return _graphql_request(await asyncio.to_thread(_json_object, body, "The body"))
    finally:
        body.clear()


def _of_small_body(body: bytes) -> GraphQLRequest:
    """What front ends send again and again is read once, if it is the same for all: a document without variables."""
    known = _KNOWN.get(body)
    if known is not None:
        _KNOWN.move_to_end(body)
        return known
    request = _graphql_request(_json_object(body, "The body"))
    if not request.variables and _is_plain(request.extensions):
        _KNOWN[body] = request
        if len(_KNOWN) > _MOST_KNOWN:
            _KNOWN.popitem(last=False)
    return request


def _is_plain(extensions: Mapping[str, Any]) -> bool:
    """Whether there is nothing in them but what is read here: anything else may be large, and is not ours to keep."""
    persisted = extensions.get("persistedQuery") or {}
    return extensions.keys() <= {"persistedQuery", "cost"} and persisted.keys() <= {"version", "sha256Hash"}


def _from_query(query: bytes) -> dict[str, Any]:
    """The parameters of a GET. The empty operation name means none (GraphQL over HTTP, "GET")."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS
        )
    except ValueError:
        raise BadRequest("The query of the URL is not URL-encoded UTF-8, or has too many parameters.") from None
    given: dict[str, Any] = {}
    with collect_faults() as faults:
        for name, value in pairs:
            faults.unless(name not in _PARAMETERS or name not in given, name, "is given twice.")
            given[name] = value
    for name in ("variables", "extensions"):
        if given.get(name, "null") != "null":
            given[name] = _json_object(given[name].encode(), f"The parameter {name}")
        else:
            given[name] = None
    return given


def _json_object(raw: bytes | bytearray, what: str) -> dict[str, Any]:
    structure = _structure(raw, what)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        _refuse_surrogates(raw)
        raise BadRequest(f"{what} is not JSON: {error.msg}.") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{what} is not a JSON object.")
    # A proxy may have judged the other one of two members.
    if strict_json.repeats_a_name(structure, value, _MAX_DEPTH):
        raise BadRequest(f"{what} has two members of one name in an object.")
    return value


def _structure(raw: bytes | bytearray, what: str) -> bytes:
    """What stands outside of strings, refused when it is too much."""
    found: list[bytes] = []
    size, quotes = 0, 0
    for part, quotes_of_part in strict_json.outside_of_strings(raw):
        found.append(part)
        size += len(part)
        quotes += quotes_of_part
        if size > _MAX_STRUCTURE:
            raise BodyTooLarge(f"{what} is larger than {_MAX_STRUCTURE} bytes without its strings.")
        if quotes > 4 * _MAX_VALUES + 4:  # each value may have a name
            raise _too_many_values(what)
    structure = b"".join(found)
    if sum(map(structure.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise _too_many_values(what)
    return structure


def _too_many_values(what: str) -> BodyTooLarge:
    return BodyTooLarge(f"{what} has more than {_MAX_VALUES} values; send less at once, or a file in one string.")


def _refuse_surrogates(raw: bytes | bytearray) -> None:
    """Name the strings with lone surrogates, which orjson refuses without a word on where they are."""
    if len(raw) > _LARGE or not _SURROGATE.search(raw):
        return
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return
    with collect_faults() as faults:
        for path, message in unstorable_strings(value) if isinstance(value, dict) else ():
            faults.add(path.removeprefix("variables."), message)


def _graphql_request(given: Mapping[str, Any]) -> GraphQLRequest:
    """The request from its parameters, which have their types or all faults at once. Other members are ignored."""
    query, name, variables, extensions = map(given.get, _PARAMETERS)
    if type(query) is str and extensions is None and type(name) in _NAMES and type(variables) in _VARIABLES:
        return GraphQLRequest(query, variables or {}, name or None)
    asked = extensions if isinstance(extensions, dict) else {}
    with collect_faults() as faults:
        sha256 = _sha256(asked.get("persistedQuery"), faults)
        document = isinstance(query, str) or (query is None and asked.get("persistedQuery") is not None)
        faults.unless(document, "query", "must be a string: the GraphQL document.")
        cost = asked.get("cost")
        faults.unless(isinstance(cost, bool | None), "extensions.cost", "must be true or false.")
        faults.unless(isinstance(name, str | None), "operationName", "must be a string or null.")
        faults.unless(isinstance(variables, dict | None), "variables", "must be an object or null.")
        faults.unless(isinstance(extensions, dict | None), "extensions", "must be an object or null.")
    return GraphQLRequest(query, variables or {}, name or None, asked, sha256=sha256, report_cost=bool(cost))


def _sha256(persisted: object, faults: Faults) -> str | None:
    """The hash of the document, where the client says it (Apollo's automatic persisted queries, version 1)."""
    if persisted is None:
        return None
    if not isinstance(persisted, dict):
        faults.add("extensions.persistedQuery", "must be an object: version and sha256Hash.")
        return None
    version, sha256 = persisted.get("version"), persisted.get("sha256Hash")
    faults.unless(version == 1 and version is not True, "extensions.persistedQuery.version", "must be 1.")
    if isinstance(sha256, str):
        return sha256
    faults.add("extensions.persistedQuery.sha256Hash", "must be a string: the SHA-256 of the document in hexadecimal.")
    return None
