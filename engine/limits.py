"""What one request may cost at most, in numbers. How it is counted is told where it is counted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may be at most, what its execution may, and how much of the checking is remembered.

    GraphiQL's introspection: 183 tokens, 18 levels, 13,000 fields as counted.
    """

    characters: int = 50_000
    lines: int = 5_000
    tokens: int = 3_000
    depth: int = 40
    root_fields: int = 50  # each may take a database connection at the same time
    fields: int = 20_000
    list_size: int = 100  # what a list without a page size of its own is taken to hold
    page_size: int = 20  # what a connection gives when neither `first` nor `last` is asked for
    executed_fields: int = 50_000  # the last resort, where lists turn out longer than they were taken for
    remembered_bytes: int = 32 * 1024 * 1024
    remembered_refusal_bytes: int = 1024 * 1024
