"""Every error a caller can meet: code, status and public words. How it is put on the wire is the doors' business."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar


class AppError(Exception):
    """An error whose message may be shown to the caller as it stands.

    `code` is stable (docs/errors.md), `status` is the HTTP status where one error is the whole answer, `details` are
    further members of `extensions`, spelled as the client sees them.
    """

    code: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details


class Unauthenticated(AppError):
    """Nobody is signed in, or the credential that was sent does not hold."""

    code = "UNAUTHENTICATED"
    status = 401


class InvalidCredential(Unauthenticated):
    """A credential was sent and is bad: the whole request is refused (RFC 6750, section 3.1)."""


class InviteRequired(AppError):
    """The account has not been let in by an invite code yet."""

    code = "INVITE_REQUIRED"
    status = 403


class InvalidInvite(AppError):
    """The invite code is unknown, used up, withdrawn or expired; which of these is not said."""

    code = "INVALID_INVITE"
    status = 403


class TierLimitReached(AppError):
    """The plan does not include the feature, or its limit is reached; `remedies` say what would change that."""

    code = "TIER_LIMIT_REACHED"
    status = 403


class Forbidden(AppError):
    """Signed in, but this credential may not do that."""

    code = "FORBIDDEN"
    status = 403


class AccountDisabled(AppError):
    """The account is disabled or deleted."""

    code = "ACCOUNT_DISABLED"
    status = 403


class NotFound(AppError):
    """There is no such thing, or it belongs to somebody else."""

    code = "NOT_FOUND"
    status = 404


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an input: where (`input.username`) and what is wanted instead.

    In a file also the row, the column as the file names it, and the value.
    """

    path: str
    message: str
    row: int | None = None
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        place = f"{self.path}, row {self.row}" if self.row is not None else self.path
        return f"{place}, {self.column}: {self.message}" if self.column else f"{place}: {self.message}"

    def shown(self) -> dict[str, Any]:
        """As the client sees it: path and message always, the others where they are known."""
        within = {"row": self.row, "column": self.column, "value": self.value}
        known = {name: value for name, value in within.items() if value is not None}
        return {"path": self.path, "message": self.message, **known}


class BadUserInput(AppError):
    """The input has faults; all of them are in `extensions.fields`."""

    code = "BAD_USER_INPUT"

    def __init__(self, message: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message, fields=[fault.shown() for fault in faults])


class Conflict(AppError):
    """The request contradicts what is stored, or a twin of it is still at work."""

    code = "CONFLICT"
    status = 409


class IdempotencyKeyReused(AppError):
    """The idempotency key was used before, with another input."""

    code = "IDEMPOTENCY_KEY_REUSED"
    status = 422


class RateLimited(AppError):
    """Too many attempts; `retryAfter` seconds until the next one may succeed."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, retryAfter=retry_after)
        self.retry_after = retry_after


class UpstreamFailed(AppError):
    """A service that Gatehouse asks did not answer as it should."""

    code = "UPSTREAM_FAILED"
    status = 502


class ServiceUnavailable(AppError):
    """Gatehouse cannot answer now: the database, or the keys of an issuer, are out of reach."""

    code = "SERVICE_UNAVAILABLE"
    status = 503


class ParseFailed(AppError):
    """The document is not GraphQL."""

    code = "GRAPHQL_PARSE_FAILED"


class ValidationFailed(AppError):
    """The document does not fit the schema."""

    code = "GRAPHQL_VALIDATION_FAILED"


class QueryTooComplex(AppError):
    """The document passes a limit of what one request may cost; the message names the limit."""

    code = "QUERY_TOO_COMPLEX"


class PersistedQueryNotFound(AppError):
    """The hash names no document that is registered here; it has to be sent with its text."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class InternalError(AppError):
    """Something went wrong on our side; the log holds it under the request id."""

    code = "INTERNAL_SERVER_ERROR"
    status = 500

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Something went wrong on our side. Quote request {request_id} when you report it.")


@dataclass(slots=True)
class Faults:
    """The faults found in an input so far."""

    found: list[Fault] = field(default_factory=list)

    def add(self, path: str, message: str) -> None:
        self.found.append(Fault(path, message))

    def unless(self, holds: bool, path: str, message: str) -> None:
        """Note a fault at `path` where `holds` is false."""
        if not holds:
            self.add(path, message)

    def check(self) -> None:
        """Raise one `BadUserInput` with all of them, if there are any."""
        if self.found:
            raise BadUserInput(" ".join(map(str, self.found[:5])), tuple(self.found))


@contextmanager
def collect_faults() -> Iterator[Faults]:
    """Gather the faults of an input, and `check` on leaving."""
    faults = Faults()
    yield faults
    faults.check()
