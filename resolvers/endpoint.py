"""GraphQL over HTTP: which request is answered how (graphql.github.io/graphql-over-http). Not what a request does."""

import uuid
from collections.abc import Awaitable, Callable, Hashable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from graphql import OperationType
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from engine import Answer, Engine, Executed, Reason, Refused
from errors import AppError, InvalidCredential
from resolvers import rendering
from resolvers.bodies import Bodies
from resolvers.deadlines import Deadlines
from resolvers.incoming import Incoming
from resolvers.negotiation import GRAPHQL_JSON, HTML, JSON, MAX_HEADER, preferred
from resolvers.patience import Patience
from resolvers.refusals import BadRequest, MethodNotAllowed, NotAcceptable
from resolvers.request import is_large, of_body, of_large_body, of_query, require_json

MakeContext = Callable[[Incoming], Awaitable[object]]

_OPERATIONS = {"GET": (OperationType.QUERY,), "POST": (OperationType.QUERY, OperationType.MUTATION)}
# JSON before the newer type: a caller who says nothing, or */*, may rely on the status 200 of old.
_OFFERS = (JSON, GRAPHQL_JSON)
_OK = int(HTTPStatus.OK)  # to look up a member of an enumeration calls Python
_CLIENT_LEFT = 499  # nobody reads it; the log does
# Seconds. A body may take minutes, in which a key is revoked.
_JUDGED_FOR = 1.0
# An answer is for one caller, one Accept, and one Origin, by which cookies count; a page that holds tokens is nobody's
# frame.
_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept, Origin"}
_HEADS = {
    media_type: [
        *((name.lower().encode(), value.encode()) for name, value in _HEADERS.items()),
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
    ]
    for media_type in _OFFERS
}
_PAGE_HEADERS = {**_HEADERS, "Content-Security-Policy": "frame-ancestors 'none'"}


class GraphQLEndpoint:
    """The ASGI application at /graphql.

    `make_context` says who asks and may refuse the whole request with an `AppError`, before anything of its body is
    read. `sender_of` says whose body it is, by which `bodies` bounds what somebody may send; None is nobody. `timeout`
    bounds context and execution, each in seconds. What runs too long, or for a caller who has left, is cancelled and
    waited for; mutations as well: their transaction rolls back, and the idempotency key makes the retry safe.
    """

    def __init__(
        self,
        engine: Engine,
        make_context: MakeContext,
        *,
        graphiql_html: str | None = None,
        sender_of: Callable[[Any], Hashable | None] = lambda _context: None,
        bodies: Bodies | None = None,
        timeout: float = 30,
    ) -> None:
        self._engine = engine
        self._make_context = make_context
        self._graphiql_html = graphiql_html
        self._sender_of = sender_of
        self._bodies = bodies or Bodies()
        self._timeout = timeout
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Incoming(scope, receive)
        response = await self._respond(request)
        if request.unread:
            await self._bodies.answer_early(response, request, send)
        else:
            await response(scope, receive, send)

    async def _respond(self, request: Incoming) -> Response:
        media_type, is_get = JSON, request.method == "GET"
        try:
            media_type = self._media_type(request)
            if media_type == HTML:
                return HTMLResponse(self._graphiql_html, headers=_PAGE_HEADERS)
            if not is_get:
                require_json(request.headers)
            patience = Patience(self._deadlines, self._timeout, request.receive)
            try:
                with patience:
                    answer = await (self._answer_query if is_get else self._answer_body)(request, patience)
            finally:
                if patience.watch is not None:
                    await patience.unwatch()
            return _response(answer, media_type, request)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_LEFT)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is becomes a GraphQL error
            return _refusal(rendering.mask(error, _request_id(request)), media_type)

    def _media_type(self, request: Incoming) -> str:
        if request.method not in _OPERATIONS:
            raise MethodNotAllowed("GraphQL is served by GET, for queries, and by POST.")
        offers: tuple[str, ...] = _OFFERS
        if request.method == "GET" and self._graphiql_html is not None:
            offers = (*offers, HTML)
        accept = ",".join(request.headers.getlist("accept"))
        # What is longer is not even looked at, and must not be remembered.
        chosen = preferred(accept, offers) if len(accept) <= MAX_HEADER else None
        if chosen is None:
            raise NotAcceptable(f"Accept {GRAPHQL_JSON} or {JSON}, in at most {MAX_HEADER} characters.")
        return chosen

    async def _answer_query(self, request: Incoming, patience: Patience) -> Answer:
        patience.for_execution()
        context = await self._make_context(request)
        asked = of_query(request.scope["query_string"])
        patience.for_execution(asked.operation_name)
        return await self._engine.execute(asked, context, operations=_OPERATIONS["GET"])

    async def _answer_body(self, request: Incoming, patience: Patience) -> Answer:
        judged, context = patience.now(), await self._make_context(request)
        body = await self._bodies.small(request, patience)
        if body is not None:
            return await self._answer_read(request, body, context, judged, patience)
        async with self._bodies.received(request, self._sender_of(context)) as received:
            return await self._answer_read(request, received, context, judged, patience)

    async def _answer_read(
        self, request: Incoming, body: bytearray, context: object, judged: float, patience: Patience
    ) -> Answer:
        if patience.now() - judged > _JUDGED_FOR:
            patience.for_sign_in()
            context = await self._make_context(request)
            patience.without_end()
        asked = await of_large_body(body) if is_large(body) else of_body(body)
        patience.for_execution(asked.operation_name)
        return await self._engine.execute(asked, context, operations=_OPERATIONS["POST"])


def _response(answer: Answer, media_type: str, request: Incoming) -> Response:
    if isinstance(answer, Executed):
        if not answer.errors and answer.cost is None:
            return _Json({"data": answer.data}, _OK, media_type, {})
        rendered = rendering.render_executed(answer, _request_id(request))
        body: dict[str, Any] = {"errors": rendered, "data": answer.data} if rendered else {"data": answer.data}
        if answer.cost is not None:
            body["extensions"] = {"cost": rendering.render_cost(answer.cost)}
        wait = rendering.retry_after(rendered)
        return _Json(body, _OK, media_type, {"Retry-After": str(wait)} if wait is not None else {})
    status, headers = _status_of(answer, media_type, is_get=request.method == "GET")
    return _Json({"errors": rendering.render_refused(answer)}, status, media_type, headers)


def _status_of(refused: Refused, media_type: str, *, is_get: bool) -> tuple[int, Mapping[str, str]]:
    """A request error is 400, but 200 as application/json, whose readers take other statuses for a proxy's."""
    if refused.reason is Reason.OPERATION_TYPE and is_get:
        return HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "POST"}
    return (HTTPStatus.OK if media_type == JSON else HTTPStatus.BAD_REQUEST), {}


def _refusal(error: AppError, media_type: str) -> Response:
    """The answer where one error is the whole of it."""
    headers = dict(error.headers) if isinstance(error, BadRequest) else {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750, section 3.1: without a credential the challenge names no error.
        sent = isinstance(error, InvalidCredential)
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if sent else "Bearer"
    rendered = [rendering.render(error)]
    wait = rendering.retry_after(rendered)
    if wait is not None:
        headers["Retry-After"] = str(wait)
    return _Json({"errors": rendered}, error.status, media_type, headers)


class _Json(Response):
    """An answer as JSON. Its head is put together here: Starlette's way there is for all that a head may hold."""

    def __init__(self, content: Mapping[str, Any], status: int, media_type: str, headers: Mapping[str, str]) -> None:
        self.status_code = int(status)
        self.background = None
        self.body = orjson.dumps(content)
        self.raw_headers = [*_HEADS[media_type], (b"content-length", b"%d" % len(self.body))]
        if headers:
            self.raw_headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _request_id(request: Incoming) -> str:
    """The id the log has, given by the middleware; one of our own where there is none."""
    known = request.scope.get("state", {}).get("request_id")
    return str(known) if known else uuid.uuid4().hex
