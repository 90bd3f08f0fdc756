"""An HTTP request to the GraphQL request in it (GraphQL over HTTP, "Request"). What it asks is the engine's affair."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from engine import GraphQLRequest, unstorable_strings
from errors import BadUserInput, collect_faults
from resolvers.negotiation import is_json

_PARAMETERS = ("query", "operationName", "variables", "extensions")
_MAX_QUERY_FIELDS = 100
# A file in a string may be large. What is not in strings is not data but structure, which costs far more to read.
_MAX_STRUCTURE = 1024 * 1024
# One that does not end goes to the end of the text: to look for its end from each of its quotes would take for ever.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+(\s*+:)?', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class BadRequest(BadUserInput):
    """The HTTP request is not one that carries a GraphQL request; nothing was run."""

    headers: ClassVar[Mapping[str, str]] = {}


class MethodNotAllowed(BadRequest):
    """Only GET and POST are served."""

    status = 405
    headers: ClassVar[Mapping[str, str]] = {"Allow": "GET, POST"}


class NotAcceptable(BadRequest):
    """The caller accepts no media type that can be served."""

    status = 406


class BodyTooSlow(BadRequest):
    """The body did not come in time."""

    status = 408
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class BodyTooLarge(BadRequest):
    """The body is larger than allowed."""

    status = 413
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class UnsupportedMediaType(BadRequest):
    """The body is not plain JSON in UTF-8.

    Text, forms and multipart stay refused for good: browsers send them to any site without a preflight, so serving
    them would let every web page act for its visitor.
    """

    status = 415


async def read_request(request: Request, *, max_body: int, timeout: float) -> GraphQLRequest:
    """The GraphQL request in a GET or POST. `max_body` is in bytes, `timeout` for the body in seconds.

    Raises a `BadRequest` or `BadUserInput`, and Starlette's `ClientDisconnect`.
    """
    if request.method == "GET":
        return _graphql_request(_from_query(request.scope["query_string"]))
    if not is_json(request.headers.getlist("content-type")):
        raise UnsupportedMediaType("Send the request as application/json in UTF-8.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")
    return _graphql_request(_json_object(await _read_body(request, max_body, timeout), "The body"))


async def _read_body(request: Request, max_body: int, timeout: float) -> bytes:
    too_large = BodyTooLarge(f"The body is larger than {max_body} bytes.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > max_body):
        raise too_large
    chunks, size = [], 0
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_body:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTooSlow(f"The body did not come within {timeout:g} seconds.") from None
    return b"".join(chunks)


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


def _json_object(raw: bytes, what: str) -> dict[str, Any]:
    names, structure = _measure(raw)
    if structure > _MAX_STRUCTURE:
        raise BodyTooLarge(f"{what} is larger than {_MAX_STRUCTURE} bytes without its strings.")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        _refuse_surrogates(raw)
        raise BadRequest(f"{what} is not JSON: {error.msg}.") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{what} is not a JSON object.")
    # Which of two members with one name counts differs between parsers, so a proxy may have judged the other one.
    if names != _count_members(value):
        raise BadRequest(f"{what} has two members of one name in an object.")
    return value


def _measure(raw: bytes) -> tuple[int, int]:
    """How many names of members there are, and how many bytes outside of strings."""
    names, structure = 0, len(raw)
    for string in _STRING.finditer(raw):
        names += string[1] is not None
        structure -= string.end() - string.start()
    return names, structure


def _count_members(value: dict[str, Any]) -> int:
    count = 0
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            count += len(item)
            item = item.values()
        pending.extend(part for part in item if isinstance(part, dict | list))
    return count


def _refuse_surrogates(raw: bytes) -> None:
    """Name the strings with lone surrogates, which orjson refuses without a word on where they are."""
    if not _SURROGATE.search(raw):
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
    query, name, variables, extensions = (given.get(parameter) for parameter in _PARAMETERS)
    with collect_faults() as faults:
        faults.unless(isinstance(query, str), "query", "must be a string: the GraphQL document.")
        faults.unless(isinstance(name, str | None), "operationName", "must be a string or null.")
        faults.unless(isinstance(variables, dict | None), "variables", "must be an object or null.")
        faults.unless(isinstance(extensions, dict | None), "extensions", "must be an object or null.")
    return GraphQLRequest(query or "", variables or {}, name or None, extensions or {})
