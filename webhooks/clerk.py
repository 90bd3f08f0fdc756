"""POST /webhooks/clerk: Clerk's events, verified, recorded and handed to the rules. What they mean is in domain."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from db.session import Database, Session
from domain import accounts, providers
from domain.accounts import Terms
from errors import AppError, BadUserInput, InternalError, InvalidCredential, ServiceUnavailable
from integrations import clerk
from webhooks import body, signature
from webhooks.deliveries import Message, Outcome, apply_once

SOURCE = "clerk"

_log = structlog.get_logger(__name__)


class MethodNotAllowed(BadUserInput):
    """Only POST delivers (RFC 9110, section 15.5.6)."""

    status = 405


class ClerkWebhook:
    """The ASGI endpoint of Clerk's webhooks. 204 for what was applied, now or before, and for what is ignored.

    Every other answer is a failure for the sender, who retries for a day; its body is `{"detail", "code"}`. Without
    secrets or issuer every delivery is refused: nothing is skipped because a setting is missing.
    """

    def __init__(self, database: Database, *, secrets: Sequence[str], issuer: str | None, terms: Terms) -> None:
        """`issuer` is the `iss` of Clerk's tokens: identities of webhooks and tokens are the same."""
        self._database = database
        self._secrets = tuple(secrets)
        self._issuer = issuer
        self._terms = terms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            await self._take(request)
        except AppError as error:
            _log.warning("webhook.refused", source=SOURCE, code=error.code, reason=error.message)
            return _failure(error)
        except Exception as error:  # noqa: BLE001 — logged, and the sender retries
            _log.exception("webhook.failed", source=SOURCE, kind=type(error).__name__)
            return _failure(InternalError(getattr(request.state, "request_id", "unknown")))
        return Response(status_code=204)

    async def _take(self, request: Request) -> None:
        if request.method != "POST":
            raise MethodNotAllowed("Deliver webhooks with POST.")
        if not self._secrets or self._issuer is None:
            raise ServiceUnavailable("Set CLERK_WEBHOOK_SECRET and CLERK_DOMAIN: without them no delivery is accepted.")
        raw = await body.read(request)
        message_id = await signature.verify(request.headers, raw, self._secrets)
        event_type, data = _event(raw)
        handler = _HANDLERS.get(event_type)
        issuer = self._issuer

        async def effect(session: Session) -> Outcome:
            return "ignored" if handler is None else await handler(session, issuer, data, self._terms)

        subject = clerk.subject_of(data) if handler else None
        await apply_once(self._database, Message(SOURCE, message_id, event_type, subject), effect)


async def _merge_user(session: Session, issuer: str, data: object, terms: Terms) -> Outcome:
    try:
        facts = providers.facts_from_clerk(clerk.user_of(data), issuer)
    except ValueError as error:
        raise BadUserInput(f"`data` is not a user of Clerk: {error}.") from None
    return "applied" if await accounts.merge(session, facts, terms) else "stale"


async def _delete_user(session: Session, issuer: str, data: object, terms: Terms) -> Outcome:
    subject = clerk.subject_of(data)
    if subject is None:
        raise BadUserInput("`data` does not say whom Clerk deleted: it must be an object with the user's `id`.")
    return "applied" if await accounts.delete_identity(session, issuer, subject) else "stale"


Handler = Callable[[Session, str, object, Terms], Awaitable[Outcome]]

_HANDLERS: Mapping[str, Handler] = {
    "user.created": _merge_user,
    "user.updated": _merge_user,
    "user.deleted": _delete_user,
}
"""By type. Every other type is answered 2xx all the same, or it would be retried and count towards disabling."""


def _event(raw: bytes) -> tuple[str, object]:
    """Type and data of a verified body; `BadUserInput` where it is no event."""
    try:
        event: Any = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise BadUserInput("The body is not JSON.") from None
    event_type = event.get("type") if isinstance(event, dict) else None
    if not isinstance(event_type, str) or clerk.clean(event_type, 255) != event_type:
        raise BadUserInput("The body is not an event: it must be a JSON object with a `type`.")
    return event_type, event.get("data")


def _failure(error: AppError) -> Response:
    headers = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = "POST"
    if isinstance(error, InvalidCredential):
        headers["WWW-Authenticate"] = "Svix"  # RFC 9110, section 15.5.2, wants a challenge with every 401
    return JSONResponse({"detail": error.message, "code": error.code}, error.status, headers)
