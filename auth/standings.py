"""The accounts behind tokens, looked up together for all who ask at once. What is found means is for auth.context."""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import clock
from db import queries
from db.batches import Batches
from db.queries.accounts import LAST_WRITE, Composed, Page
from db.session import Database, Row

_MOST_ACCOUNTS = 100
_MOST_PAGES = 4
"""Read together: who waits for one waits for all of them."""


class Found(NamedTuple):
    """What was read of an account together with its standing: the row, and the moment of the reading."""

    row: Row
    at: datetime


class _Wanted(NamedTuple):
    """What is wanted of accounts of an issuer: those of `queries.accounts.FORESEEN`, and a page with its values."""

    issuer: str
    needs: frozenset[str]
    page: Composed | None = None
    values: tuple[tuple[str, Any], ...] = ()


class Standings:
    """One for the whole application."""

    def __init__(self, database: Database, *, replicated: bool) -> None:
        """`replicated`: reads may go to a replica, so callers know their `last_write`."""
        self._database = database
        self._always = frozenset({LAST_WRITE} if replicated else ())
        self._accounts = Batches(self._read, most=_MOST_ACCOUNTS)
        self._pages = Batches(self._read, most=_MOST_PAGES)

    def of(self, issuer: str, subject: str, needs: frozenset[str], page: Page | None) -> Awaitable[Found | None]:
        """The account of an identity, with what is needed of it and a page; None at first sight.

        Those of one issuer who want the same of their accounts are read together, the page with the same values
        included.
        """
        needs |= self._always
        if page is None:
            return self._accounts.get(_Wanted(issuer, needs), subject)
        wanted = _Wanted(issuer, needs, page.statement, tuple(page.values.items()))
        return self._pages.get(wanted, subject) if _hashable(wanted.values) else self._apart(wanted, subject)

    async def _apart(self, wanted: _Wanted, subject: str) -> Found | None:
        return (await self._read(wanted, [subject])).get(subject)

    async def aclose(self) -> None:
        """Stop what is still read."""
        await self._accounts.aclose()
        await self._pages.aclose()

    async def _read(self, wanted: _Wanted, subjects: Sequence[str]) -> Mapping[str, Found]:
        now = clock.now()
        select = queries.accounts.standings(
            wanted.issuer, subjects, now.date(), wanted.needs, page=wanted.page, values=dict(wanted.values)
        )
        rows = await self._database.rows(select)
        # By what the row says, and never by its place: whose account it is hangs on it.
        return {row.subject: Found(row, now) for row in rows}


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
