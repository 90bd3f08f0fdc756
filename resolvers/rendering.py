"""The one edge where errors become what a GraphQL client reads. Unknown ones stay in the log, by the request's id."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from graphql import GraphQLError, ValueNode
from strawberry.exceptions import StrawberryInputCoercionError

import errors
from engine import Cost, Executed, Reason, Refused
from errors import AppError, Fault

_log = structlog.get_logger(__name__)

# graphql-core quotes what the client sent; a token or a whole file must not come back, or reach a log, at length.
_MAX_MESSAGE = 300
_MAX_LOGGED = 10

_CODES: Mapping[Reason, str] = {
    Reason.PARSE: errors.ParseFailed.code,
    Reason.VALIDATION: errors.ValidationFailed.code,
    Reason.UNKNOWN_DOCUMENT: errors.PersistedQueryNotFound.code,
    Reason.COMPLEXITY: errors.QueryTooComplex.code,
    Reason.OPERATION: errors.BadUserInput.code,
    Reason.OPERATION_TYPE: errors.BadUserInput.code,
    Reason.INPUT: errors.BadUserInput.code,
}
_PARAMETERS: Mapping[Reason, str] = {Reason.OPERATION: "operationName", Reason.OPERATION_TYPE: "query"}


def render_refused(refused: Refused) -> list[dict[str, Any]]:
    """The errors of a request that did not run. Faults of its values make one error, which has them all."""
    code = _CODES[refused.reason]
    if code != errors.BadUserInput.code:
        return [
            {
                "message": _bounded(error.message),
                **_locations([error]),
                "extensions": {"code": code, **(error.extensions or {})},
            }
            for error in refused.errors
        ]
    faults = [Fault(_bounded(fault.path), _bounded(fault.message)) for fault in refused.faults]
    if not faults:
        faults = [Fault(_PARAMETERS[refused.reason], _bounded(refused.errors[0].message))]
    message = "; ".join(f"{fault.path}: {fault.message}" for fault in faults[:5])
    return [render(errors.BadUserInput(message, tuple(faults)), **_locations(refused.errors))]


def render_executed(executed: Executed, request_id: str) -> list[dict[str, Any]]:
    """The errors of an operation that ran, each at its path. What is not an `AppError` is logged whole and masked."""
    rendered = []
    ours: list[GraphQLError] = []
    failed: set[str] = set()
    for error in executed.errors:
        known = _known(error)
        if known is None:
            ours.append(error)
        elif known.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            failed.add(known.code)
        rendered.append(render(known or errors.InternalError(request_id), **_locations([error]), path=error.path))
    # Whoever raised these has logged why; a traceback for each field would bury it.
    for code in sorted(failed):
        _log.warning("resolver.unavailable", request_id=request_id, code=code)
    for error in ours[:_MAX_LOGGED]:
        _log.error("resolver.failed", request_id=request_id, path=error.path, exc_info=error.original_error or error)
    if len(ours) > _MAX_LOGGED:
        _log.error("resolver.failed_often", request_id=request_id, more=len(ours) - _MAX_LOGGED)
    return rendered


def render_cost(cost: Cost) -> dict[str, Any]:
    """What an operation was counted to cost, as clients read it."""
    return {
        "requested": cost.requested,
        "limit": cost.limit,
        "tokens": cost.tokens,
        "depth": cost.depth,
        "rootFields": cost.root_fields,
        "aliases": cost.aliases,
        "directives": cost.directives,
    }


def render(error: AppError, **where: Any) -> dict[str, Any]:
    """One error as the client sees it: message, place if it has one, code and details."""
    return {"message": error.message, **where, "extensions": {"code": error.code, **error.details}}


def mask(error: Exception, request_id: str) -> AppError:
    """The error itself where callers may see it, else an `InternalError`. What lies behind either goes to the log."""
    if isinstance(error, AppError):
        if error.__cause__ is not None:
            _log.warning("request.unavailable", request_id=request_id, code=error.code, cause=repr(error.__cause__))
        return error
    _log.error("request.failed", request_id=request_id, exc_info=error)
    return errors.InternalError(request_id)


def retry_after(rendered: Sequence[Mapping[str, Any]]) -> int | None:
    """The longest wait that the errors ask for, in seconds; None where none does."""
    waits = [error["extensions"]["retryAfter"] for error in rendered if "retryAfter" in error["extensions"]]
    return max(waits, default=None)


def _known(error: GraphQLError) -> AppError | None:
    for cause in _causes(error):
        if isinstance(cause, AppError):
            return cause
        if isinstance(cause, GraphQLError) and _blames_value(cause):
            message = _bounded(cause.message)
            return errors.BadUserInput(message, (Fault("variables", message),))
    return None


def _blames_value(error: GraphQLError) -> bool:
    """A value that only running could judge: a variable that an argument cannot take, a scalar that did not parse.

    graphql-core raises the same class for values that we return and that do not fit; those point at a field.
    """
    nodes = error.nodes or ()
    return isinstance(error, StrawberryInputCoercionError) or (
        len(nodes) > 0 and all(isinstance(node, ValueNode) for node in nodes)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was deliberately raised from."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        original = cause.original_error if isinstance(cause, GraphQLError) else None
        cause = original or cause.__cause__


def _locations(of: Iterable[GraphQLError]) -> dict[str, Any]:
    """The places in the document, each once; no entry where there is none."""
    places = {place: None for error in of for place in error.locations or ()}
    return {"locations": [{"line": line, "column": column} for line, column in places]} if places else {}


def _bounded(message: str) -> str:
    return message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}…"
