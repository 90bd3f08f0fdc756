"""A refusal that leaves evidence: returned, not raised, so that what it must remember is committed first."""

from dataclasses import dataclass

from errors import AppError


@dataclass(frozen=True, slots=True)
class Refused:
    """The caller of the rule commits, then raises `error`."""

    error: AppError
