"""The scratch schema of `gatehouse quota prove`: its making, its checks, its end. What happens in it is elsewhere."""

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import clock
import errors
from db.migrate import migrate
from db.proving import as_owner
from db.roles import NAME
from db.session import Database

PREFIX = "gatehouse_prove_"
_DENIED = "42501"
_MADE_BY = "gatehouse quota prove, begun "

_WORK = """
create table proved_work (
    id uuid primary key,
    user_id uuid not null,
    feature text not null,
    limit_then bigint not null,
    undone boolean not null default false
)
"""
_GRANT = f"""
do $$ declare application text := {NAME};
begin
    if exists (select from pg_roles where rolname = application)
    and has_table_privilege(application, 'ledger', 'insert')
    then execute 'grant select, insert, update on proved_work to ' || quote_ident(application); end if;
end $$
"""
_HAS_ROLE = f"select to_regrole({NAME}) is not null"
_DROP_ROLE = f"do $$ begin execute 'drop role if exists ' || quote_ident({NAME}); end $$"
_USER = """
insert into users (id, email_verified, full_name_source, username, username_source, tier, invite_validated,
    trial_ends_at, created_at, updated_at)
values (:id, false, 'provider', :username, 'placeholder', 'free', true, :now, :now, :now)
on conflict do nothing
"""

# Each finds what is wrong: no rows, nothing wrong. From the tables alone.
CHECKS: Mapping[str, str] = {
    "every counter is the sum of its ledger rows": """
        select coalesce(l.user_id, c.user_id), coalesce(l.feature, c.feature), coalesce(l.period, c.period),
            coalesce(l.total, 0) as ledger, coalesce(c.used, 0) as counter
        from (select user_id, feature, period, sum(amount) as total from ledger group by 1, 2, 3) l
        full join counters c using (user_id, feature, period)
        where coalesce(l.total, 0) <> coalesce(c.used, 0)""",
    "no row took a counter over the limit it was granted under": """
        select l.paid_for, l.balance, w.limit_then from ledger l left join proved_work w on w.id = l.paid_for
        where l.amount > 0 and (l.balance > l.limit_then or l.balance > w.limit_then)""",
    # Of all steps into a value and out of it, only the last one into the counter's own is not left again.
    "the balances of the ledger's rows follow one from the other": """
        with steps as (
            select user_id, feature, period, balance as value, 1 as step from ledger
            union all select user_id, feature, period, balance - amount, -1 from ledger
            union all select user_id, feature, period, used, -1 from counters
            union all select user_id, feature, period, 0, 1 from counters
        )
        select user_id, feature, period, value from steps group by 1, 2, 3, 4 having sum(step) <> 0""",
    "all work is paid for once, under its limit, and nothing else is": """
        with spends as (select *, count(*) over (partition by paid_for) as times from ledger where kind = 'spend')
        select coalesce(s.paid_for, w.id), s.times, w.id from spends s full join proved_work w on w.id = s.paid_for
        where s.paid_for is null or w.id is null or s.times > 1 or s.amount <> 1
            or s.limit_then is distinct from w.limit_then or (s.user_id, s.feature) <> (w.user_id, w.feature)""",
    "all work that was undone was returned once, to its own period": """
        with returns as (select *, count(*) over (partition by paid_for) as times from ledger where kind = 'return'),
        undone as (select id from proved_work where undone)
        select coalesce(r.paid_for, u.id), r.times, u.id from returns r full join undone u on u.id = r.paid_for
        left join ledger s on s.paid_for = coalesce(r.paid_for, u.id) and s.kind = 'spend'
        where r.paid_for is null or u.id is null or r.times > 1 or r.amount is distinct from -s.amount
            or (r.user_id, r.feature, r.period) is distinct from (s.user_id, s.feature, s.period)""",
    "every spend is in the month (UTC) of its moment": """
        select paid_for, period, created_at from ledger
        where kind = 'spend' and feature <> 'portfolios'
            and period <> date_trunc('month', created_at at time zone 'UTC')::date""",
    "every day's usage is what was spent on it, less what was returned": """
        select d.*, n.* from usage_days d full join (
            select s.user_id, s.feature, (s.created_at at time zone 'UTC')::date as day,
                count(*) - count(r.paid_for) filter (where s.period <> '1970-01-01') as count
            from ledger s left join ledger r on r.paid_for = s.paid_for and r.kind = 'return'
            where s.kind = 'spend' group by 1, 2, 3
        ) n using (user_id, feature, day)
        where d.count is distinct from n.count""",
}
"""What must hold, in words, and the statement that finds where it does not."""


class Scratch:
    """A schema of its own with Gatehouse's tables in it; `url` must lead to Postgres itself, not to a pooler."""

    def __init__(self, url: str) -> None:
        self.name = PREFIX + secrets.token_hex(6)
        self._url = url
        self.database = Database(url, schema=self.name)
        self._role_is_ours = False

    async def make(self) -> None:
        """`Forbidden` where the user may not make a schema."""
        try:
            async with as_owner(self.database) as session:
                self._role_is_ours = not await session.scalar(text(_HAS_ROLE))
                await session.execute(text(f"create schema {self.name}"))
                await session.execute(text(f"comment on schema {self.name} is '{_MADE_BY}{clock.now().isoformat()}'"))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != _DENIED:
                raise
            raise errors.Forbidden(
                "The database's user may not make the scratch schema. Let its owner run: "
                "grant create on database <name> to <user>."
            ) from error
        await migrate(self._url, schema=self.name)
        async with as_owner(self.database) as session:
            await session.execute(text(_WORK))
            await session.execute(text(_GRANT))

    async def remove(self) -> None:
        """Drop all of it, the application's role too where it was made for this."""
        async with as_owner(self.database) as session:
            await session.execute(text(f"drop schema if exists {self.name} cascade"))
        if self._role_is_ours:
            try:
                async with as_owner(self.database) as session:
                    await session.execute(text(_DROP_ROLE))
            except DBAPIError:
                pass  # somebody has begun to use it since
        await self.database.close()

    async def connections_left(self) -> int:
        """How many more connections the server takes."""
        free = "select current_setting('max_connections')::int - count(*) from pg_stat_activity"
        async with as_owner(self.database) as session:
            return int(await session.scalar(text(free)) or 0)

    async def add_accounts(self, accounts: Iterable[UUID]) -> None:
        async with self.database.transaction() as session:
            for account in accounts:
                values = {"id": account, "username": f"u{account.hex[:20]}", "now": clock.now()}
                await session.execute(text(_USER), values)

    async def execute(self, statements: Iterable[str]) -> None:
        """Run statements as the owner of the tables, to break what is to be proved."""
        async with as_owner(self.database) as session:
            for statement in statements:
                await session.execute(text(statement))

    async def wrong(self) -> dict[str, int]:
        """How often each of `CHECKS` finds something, beginning with those that find nothing."""
        found = {}
        async with self.database.transaction() as session:
            for words, query in CHECKS.items():
                rows = (await session.execute(text(query))).all()
                found[words] = len(rows)
        return found

    async def missing(self, kind: str, ids: Iterable[UUID]) -> int:
        """How many of these have no ledger row of the kind."""
        query = "select count(*) from unnest(cast(:ids as uuid[])) id where not exists"
        row = "(select from ledger where paid_for = id and kind = :kind)"
        async with self.database.transaction() as session:
            return int(await session.scalar(text(f"{query} {row}"), {"ids": list(ids), "kind": kind}) or 0)


async def leftovers(database: Database, before: datetime) -> list[str]:
    """Scratch schemas that nobody removed, begun before this moment."""
    made = "select nspname, obj_description(oid, 'pg_namespace') from pg_namespace where starts_with(nspname, :prefix)"
    async with database.transaction() as session:
        rows = (await session.execute(text(made), {"prefix": PREFIX})).all()
    return [name for name, comment in rows if _begun(name, comment) < before]


def _begun(name: str, comment: str | None) -> datetime:
    """When a scratch schema was made; in the future for one that is not ours."""
    ours = re.fullmatch(f"{PREFIX}[0-9a-f]{{12}}", name) and comment and comment.startswith(_MADE_BY)
    return datetime.fromisoformat(str(comment).removeprefix(_MADE_BY)) if ours else datetime.max.replace(tzinfo=UTC)
