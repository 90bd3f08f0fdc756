"""Who may not, and that nothing happened: for the tests of doors. Who may is in tests.people."""

from datetime import UTC, datetime

from sqlalchemy import text

from db.models import SCOPES, Base
from db.session import Database
from tests.gql import Asker
from tests.people import People

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

NOT_A_SESSION = {
    "nobody": "UNAUTHENTICATED",
    "disabled": "ACCOUNT_DISABLED",
    "deleted": "ACCOUNT_DISABLED",
    "key": "FORBIDDEN",
}
"""Whom a door for signed-in persons refuses, and with which code. The key has every scope."""


async def refused(make: People, who: str) -> Asker | None:
    """One of `NOT_A_SESSION`, freshly made."""
    match who:
        case "nobody":
            return None
        case "disabled":
            return await make.person(disabled_at=LONG_AGO)
        case "deleted":
            return await make.person(deleted_at=LONG_AGO)
        case _:
            return await make.key(await make.person(), *SCOPES)


async def stored(database: Database) -> dict[str, str]:
    """A fingerprint of each table: equal before and after means that nothing was written.

    Not of `last_used_at`, which is written behind the request and says nothing of what was allowed.
    """
    prints = {}
    async with database.transaction() as session:
        for table in Base.metadata.sorted_tables:
            row = f"md5((to_jsonb(t) - 'last_used_at')::text) as row from {table.name} t"
            query = f"select coalesce(md5(string_agg(row, '' order by row)), '') from (select {row}) rows"
            prints[table.name] = (await session.execute(text(query))).scalar_one()
    return prints
