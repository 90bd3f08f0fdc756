"""What one request may cost at most, in numbers, and what passing one says. How it is counted is told where it is."""

from dataclasses import dataclass

_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may be at most, what its execution may, and how much of the checking is remembered.

    GraphiQL's introspection: 183 tokens, 18 levels, a cost of 13,000, no alias and no directive.
    """

    characters: int = 50_000
    lines: int = 5_000
    tokens: int = 3_000
    depth: int = 40
    root_fields: int = 50  # each may take a database connection at the same time
    aliases: int = 100
    directives: int = 100
    cost: int = 20_000
    list_size: int = 100  # what a list without a page size of its own is taken to hold
    page_size: int = 20  # what a connection gives when neither `first` nor `last` is asked for
    executed_fields: int = 50_000  # the last resort, where lists turn out longer than they were taken for
    remembered_bytes: int = 32 * 1024 * 1024
    remembered_refusal_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one operation was counted to cost at most, `requested` of `limit`, and its other measures.

    Fragments count wherever they are spread, which may be often: each number ends at 2**31 - 1. `tokens` are those of
    the whole document.
    """

    requested: int
    limit: int
    tokens: int
    depth: int
    root_fields: int
    aliases: int
    directives: int


class TooComplex(Exception):
    """A document passes a limit: the measure, as clients spell it, the limit, and how much there is, if known."""

    def __init__(self, measure: str, limit: int, message: str, requested: int | None = None) -> None:
        super().__init__(message)
        self.measure = measure
        self.limit = limit
        self.requested = None if requested is None else bounded(requested)


def too_deep(most: int) -> TooComplex:
    """The refusal of what nests deeper than so many levels."""
    message = f"The document nests deeper than {most} levels, fragments counted in. Ask for what is below by its id."
    return TooComplex("depth", most, message)


def bounded(count: int) -> int:
    """The number as clients can read it: fragments that multiply reach hundreds of digits."""
    return min(count, _LARGEST)
