"""What the engine gives back: a request that ran, or one refused. Not how they look on the wire."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from graphql import GraphQLError

from engine.limits import Cost, TooComplex


class Reason(Enum):
    """Why a request was refused."""

    PARSE = "the document is not GraphQL"
    VALIDATION = "the document does not fit the schema"
    UNKNOWN_DOCUMENT = "no document is registered under this hash"
    COMPLEXITY = "the document costs too much"
    OPERATION = "no operation, or no single one, is meant"
    OPERATION_TYPE = "operations of this type are not served here"
    INPUT = "a value does not fit"


class InputFault(NamedTuple):
    """One fault of the values sent: where (`input.name`, `ids[0]`) and what is wrong."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A request error: the response has no `data` entry (GraphQL specification, section 7.1).

    Nothing ran, or, as the message says then, it was cut off as too large; mutations keep the effects they had. For
    COMPLEXITY the error's `extensions` say which `measure` passed which `limit`, and how much was `requested` where
    that is known.
    """

    reason: Reason
    errors: Sequence[GraphQLError]
    faults: tuple[InputFault, ...] = ()


class Executed(NamedTuple):
    """The operation ran. `data` is null where an error reached the root; `cost` is there where it was asked for."""

    data: dict[str, Any] | None
    errors: Sequence[GraphQLError] = ()
    cost: Cost | None = None


Answer = Executed | Refused


def refuse(reason: Reason, message: str) -> Refused:
    """Refuse with one error of ours."""
    return Refused(reason, (GraphQLError(message),))


def refuse_too_complex(error: TooComplex) -> Refused:
    """Refuse what passes a limit."""
    extensions = {"measure": error.measure, "limit": error.limit}
    if error.requested is not None:
        extensions["requested"] = error.requested
    return Refused(Reason.COMPLEXITY, (GraphQLError(str(error), extensions=extensions),))
