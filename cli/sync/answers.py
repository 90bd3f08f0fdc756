"""What came back from a server, or did not: the data of an answer, or a failure that says which of many it is."""

import email.utils
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from http import HTTPStatus
from typing import Annotated, Any

import httpx
import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel

import clock
from cli.sync.failures import Failure

_NEW_KEY = "Run: gatehouse keys create NAME | gatehouse sync configure."
_BUSY = frozenset({"SERVICE_UNAVAILABLE", "RATE_LIMITED"})
_REMEDIES = {
    "INVITE_REQUIRED": "Let the account in with an invite code first: the mutation validateInvite, signed in.",
    "ACCOUNT_DISABLED": "Ask whoever runs this server.",
}
_OTHER_VERSION = frozenset({"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "QUERY_TOO_COMPLEX"})
_NOWHERE = ("WRONG_URL", "There is no GraphQL at {}", "Check the address: its host, port and path.")
_ON_THE_WAY = (
    "REFUSED_ON_THE_WAY",
    "Something before {}, such as a proxy, refuses",
    "Ask whoever runs the network or the server.",
)
_STRANGE: dict[int, tuple[str, str, str]] = {
    HTTPStatus.NOT_FOUND: _NOWHERE,
    HTTPStatus.METHOD_NOT_ALLOWED: _NOWHERE,
    HTTPStatus.GONE: _NOWHERE,
    HTTPStatus.UNAUTHORIZED: _ON_THE_WAY,
    HTTPStatus.FORBIDDEN: _ON_THE_WAY,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: _ON_THE_WAY,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("TOO_LARGE", "{} takes no request so large", "Push fewer runs in one file."),
}

Moment = Annotated[AwareDatetime, PlainSerializer(lambda moment: f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")]
"""A time, spelled as the API does."""


class Answer(BaseModel):
    """What a command asks for, checked: a part of the API that it knows. What else is there is left out."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    def shown(self) -> dict[str, Any]:
        """For programs, as the API spells it."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered; the body without the caller's secret, should it have repeated it."""

    url: str
    status: int
    media_type: str
    body: bytes
    retry_after: str | None
    location: str | None


def data_of(reply: Reply) -> Mapping[str, Any]:
    """The data of a GraphQL answer without errors; else a `Failure`."""
    document = _document(reply)
    errors = document.get("errors") if document is not None else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        raise _refusal(reply, errors[0])
    data = document.get("data") if document is not None else None
    if reply.status != HTTPStatus.OK or not isinstance(data, dict):
        raise _stranger(reply)
    return data


def _document(reply: Reply) -> dict[str, Any] | None:
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _refusal(reply: Reply, error: Mapping[str, Any]) -> Failure:
    """What a Gatehouse refuses, in its own words, and what to do about it here."""
    extensions = error.get("extensions")
    details = dict(extensions) if isinstance(extensions, dict) else {}
    code, message = details.pop("code", None), str(error.get("message", ""))
    if not isinstance(code, str) or code in _OTHER_VERSION:
        # A GraphQL server it is; whether it is ours cannot be told from a field that it does not know.
        return Failure(
            code if isinstance(code, str) else "NOT_GATEHOUSE",
            f"{reply.url} does not understand this command: {message}",
            "It is not a Gatehouse, or one of another version. Check GATEHOUSE_URL or the profile.",
        )
    transient = code in _BUSY or reply.status == HTTPStatus.TOO_MANY_REQUESTS or reply.status >= 500
    asked = details.get("retryAfter")
    wait = float(asked) if isinstance(asked, int) and not isinstance(asked, bool) else _wait(reply)
    return Failure(code, message, _remedy(code, message, wait), transient=transient, wait=wait, details=details)


def _remedy(code: str, message: str, wait: float | None) -> str:
    if code == "UNAUTHENTICATED":
        return _renewal(message)
    if code == "FORBIDDEN" and (scope := re.search(r"\bscope ([a-z]+:[a-z]+)", message)):
        return (
            f"Make one with all scopes, {scope[1]} among them: gatehouse keys create NAME | gatehouse sync configure."
        )
    if code == "RATE_LIMITED" and wait is not None:
        return f"Try again in {wait:.0f} seconds."
    return _REMEDIES.get(code, "")


def _renewal(message: str) -> str:
    """A key and a token are mended differently, and what is unknown may only have come to the wrong server."""
    if "API key" not in message:
        return "Sign in again, and pass the new token of your session in GATEHOUSE_TOKEN."
    return "Is it a key of this server? Check GATEHOUSE_URL or the profile." if "unknown" in message else _NEW_KEY


def _stranger(reply: Reply) -> Failure:
    """An answer that is not GraphQL: mostly of something that stands before, or instead of, a Gatehouse."""
    url, status = reply.url, reply.status
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
        code = "RATE_LIMITED" if status == HTTPStatus.TOO_MANY_REQUESTS else "SERVICE_UNAVAILABLE"
        words = f"{url} answers HTTP {status}: it, or what stands before it, cannot serve now."
        return Failure(code, words, "Try again later.", transient=True, wait=_wait(reply))
    if 300 <= status < 400:
        to = f" to {reply.location}" if reply.location else ""
        remedy = "A key is not sent after it. If you trust that address, run: gatehouse sync configure --url."
        return Failure("REDIRECTED", f"{url} sends callers elsewhere{to}.", remedy)
    if status in _STRANGE:
        code, words, remedy = _STRANGE[status]
        return Failure(code, f"{words.format(url)} (HTTP {status}).", remedy)
    if "html" in reply.media_type or reply.body.lstrip()[:1] == b"<":
        words = f"{url} answers with a web page instead of GraphQL (HTTP {status})."
        return Failure("HTML", words, "A sign-in page of the network, or the address of the front end? Check it.")
    words = f"{url} answers, but not as a Gatehouse does (HTTP {status})."
    return Failure("NOT_GATEHOUSE", words, "Check GATEHOUSE_URL or the profile.")


def misshapen(url: str) -> Failure:
    """GraphQL, but without what was asked for."""
    words = f"{url} answers, but with other fields than a Gatehouse has."
    return Failure("NOT_GATEHOUSE", words, "Check GATEHOUSE_URL or the profile, and the versions of both.")


def _wait(reply: Reply) -> float | None:
    """Retry-After in seconds: a number, or a moment (RFC 9110, section 10.2.3)."""
    text = (reply.retry_after or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(text) - clock.now()).total_seconds())
    except (ValueError, TypeError):  # a moment without a zone cannot be compared
        return None


def unanswered(error: httpx.RequestError, url: str, timeout: float) -> Failure:
    """Why there was no answer at all, by what the network said."""
    if isinstance(error, httpx.TimeoutException):
        return Failure(
            "TIMEOUT",
            f"{url} did not answer within {timeout:g} seconds.",
            "Try again in a moment; push takes --timeout.",
            transient=True,
        )
    if isinstance(error, httpx.ProxyError):
        return Failure("PROXY", "The proxy did not let the request through.", "Check HTTPS_PROXY.", transient=True)
    for cause in _causes(error):
        found = _by_cause(cause, url)
        if found is not None:
            return found
    if isinstance(error, httpx.ConnectError):
        words = f"{url} cannot be reached."
        return Failure("NO_NETWORK", words, "Check the network and the address.", transient=True)
    words = f"{url} broke off the conversation."
    return Failure("DROPPED", words, "Try again. Check that http or https fits the port.", transient=True)


def _by_cause(cause: BaseException, url: str) -> Failure | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        words = f"The certificate of {url} does not hold: {cause.verify_message}."
        remedy = "Check the address and this machine's clock; SSL_CERT_FILE names an authority of your own."
        return Failure("TLS", words, remedy)
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "no reason given").replace("_", " ").lower()
        return Failure("TLS", f"No TLS with {url}: {reason}.", "Check that https fits the port.")
    if isinstance(cause, socket.gaierror):
        host, again = httpx.URL(url).host, cause.errno == socket.EAI_AGAIN
        words = f"The name {host} leads nowhere ({cause.strerror})."
        return Failure("DNS", words, "Check the address for a slip, and the network.", transient=again)
    if isinstance(cause, ConnectionRefusedError):
        remedy = "Is it running, and is the port right? --url, or GATEHOUSE_URL, goes before what is stored."
        return Failure("CONNECTION_REFUSED", f"Nobody listens at {url}.", remedy, transient=True)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
