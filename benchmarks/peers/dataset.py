"""The data that every contestant answers from: how much, of which shape, and who of the users asks what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

ISSUED_AT_MOST = 200
"""Tokens that take turns in one run."""
PORTFOLIOS_EACH = 20
POSITIONS_EACH = 25
SCANS_OF_MANY = 100
UNLIMITED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scale:
    """How many users there are; the first `busy` have a hundred scans, the first `investing` twenty portfolios.

    `scans` are those of all users. Users have numbers from 0 on, and `subject` tells the subject of each.
    """

    users: int = 10_000
    scans: int = 200_000
    busy: int = 1_000
    investing: int = 2_000

    def __post_init__(self) -> None:
        if not 0 < self.busy <= self.investing < self.users or self.scans < self.busy * SCANS_OF_MANY:
            raise ValueError("No such dataset: 0 < busy <= investing < users, and enough scans for the busy.")

    @property
    def portfolios(self) -> int:
        return self.investing * PORTFOLIOS_EACH

    @property
    def positions(self) -> int:
        return self.portfolios * POSITIONS_EACH

    @property
    def readers(self) -> Sequence[int]:
        """Users with a hundred scans and twenty portfolios."""
        return _spread(range(self.busy))

    @property
    def anybody(self) -> Sequence[int]:
        """Users of every tier."""
        return _spread(range(self.users))

    @property
    def writers(self) -> Sequence[int]:
        """Users that nobody reads as, so that what they add changes no answer."""
        return _spread(range(self.investing, self.users), but=self.anybody)


QUICK = Scale(users=1_000, scans=20_000, busy=100, investing=200)
TINY = Scale(users=30, scans=1_000, busy=5, investing=8)


def subject(number: int) -> str:
    """As Clerk names its users."""
    return f"user_{number:06}"


def _spread(numbers: range, but: Sequence[int] = ()) -> list[int]:
    left = [number for number in numbers if number not in set(but)]
    return left[:: max(1, len(left) // ISSUED_AT_MOST)][:ISSUED_AT_MOST]


# UUIDs of version 7 that are the same in every run: as ids are stored, new ones at the end of an index.
_UUID7 = """
create function pg_temp.uuid7(at timestamptz, seed text) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(seed), 1, 3)
        || '8' || substr(md5(seed), 4, 15))::uuid
$$
"""
_PEOPLE = """
create temp table people as
select number, pg_temp.uuid7(joined, 'user' || number) as id, joined,
    case when number < $2::int then 'enterprise' else (array['enterprise', 'paid', 'free'])[1 + number % 3] end as tier
from (select number, $1::timestamptz - interval '500 days' + number * interval '1 minute 0.001234 seconds' as joined
    from generate_series(0, $3::int - 1) as number) as made
"""
_USERS = """
insert into users (id, email, email_verified, full_name, full_name_source, username, username_source, tier,
    invite_validated, trial_ends_at, created_at, updated_at)
select id, 'person' || number || '@example.test', true, 'Person Número ' || number, 'provider', 'person' || number,
    'provider', tier, number % 7 <> 0, joined + interval '30 days', joined, joined from people
"""
_IDENTITIES = """
insert into identities (id, user_id, issuer, subject, email_verified, created_at)
select pg_temp.uuid7(joined, 'identity' || number), id, $1, 'user_' || lpad(number::text, 6, '0'), false, joined
from people
"""
_SCANS = """
insert into scans (id, user_id, tool, target, status, started_at, finished_at, duration_ms, severity,
    critical, high, medium, low, info, suppressed, created_at)
select pg_temp.uuid7(moment, 'scan' || id || place), id,
    (array['bandit', 'semgrep', 'trivy', 'gitleaks'])[1 + place % 4],
    'https://git.example.test/team/service-' || (number * 31 + place) % 500,
    case when place % 11 = 0 then 'FAILED' else 'COMPLETE' end,
    case when place % 13 <> 0 then moment - interval '1 minute' end, case when place % 13 <> 0 then moment end,
    case when place % 13 <> 0 then 60000 end,
    (array['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO', null])[1 + place % 6],
    case place % 6 when 0 then 1 else 0 end, case when place % 6 <= 1 then 2 else 0 end,
    case when place % 6 <= 2 then 3 else 0 end, case when place % 6 <= 3 then 5 else 0 end,
    case when place % 6 <= 4 then 8 else 0 end, 0, moment
from (select people.*, place,
        $1::timestamptz - interval '7 days' - (place * 5 + number % 5) * interval '3 hours 24 minutes 0.600043 seconds'
            as moment
    from people cross join lateral generate_series(0, case when number < $2::int then $3::int
        else $4::int + (number < $2::int + $5::int)::int end - 1) as place) as made
"""
_PORTFOLIOS = """
insert into portfolios (id, user_id, name, description, currency, version, created_at, updated_at, position_count,
    cost_basis)
select pg_temp.uuid7(moment, 'portfolio' || id || place), id, 'Portfolio ' || place, null,
    (array['USD', 'EUR', 'CHF'])[1 + place % 3], 1, moment, moment, $2::int, 0
from (select people.*, place, joined + place * interval '1 day 0.0071 seconds' as moment
    from people cross join generate_series(1, $3::int) as place where number < $1::int) as made
"""
_POSITIONS = """
insert into positions (id, portfolio_id, symbol, quantity, entry_price, entry_date, investment_class)
select pg_temp.uuid7(created_at, 'position' || id || place), id, 'SYM' || (seed + place * 7) % 500,
    ((seed + place * 13) % 900 + 1) / 4.0, ((seed * 37 + place * 101) % 90000 + 1) / 100.0,
    date '2020-01-01' + ((seed + place * 59) % 2000)::int,
    (array['STOCK', 'ETF', 'FUND', 'BOND', 'CRYPTO', 'OTHER'])[1 + place % 6]
from (select id, created_at, row_number() over (order by id) as seed from portfolios) as made
cross join generate_series(1, $1::int) as place
"""
_TOTALS = """
update portfolios set cost_basis = total
from (select portfolio_id, sum(quantity * entry_price) as total from positions group by 1) as counted
where portfolio_id = id
"""
# Straight into the tables, since half a million triggers take a minute; what they add up is added up here.
_LEDGER = """
insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, balance, created_at)
select id, 'spend', user_id, feature, period, 1, $1::bigint,
    row_number() over (partition by user_id, feature, period order by id), created_at
from (
    select id, user_id, 'portfolios' as feature, date '1970-01-01' as period, created_at from portfolios
    union all select id, user_id, 'scans', date_trunc('month', created_at at time zone 'UTC')::date, created_at
    from scans
    union all select pg_temp.uuid7($2, 'message' || number || '/' || place), id, 'aiMessages',
        date_trunc('month', $2::timestamptz at time zone 'UTC')::date, $2
    from people cross join lateral generate_series(1, number % 5) as place
) as spent
"""
_COUNTERS = """
insert into counters (user_id, feature, period, used)
select user_id, feature, period, sum(amount) from ledger group by 1, 2, 3
"""
_DAYS_USED = """
insert into usage_days (user_id, feature, day, count)
select user_id, feature, (created_at at time zone 'UTC')::date, sum(amount) from ledger group by 1, 2, 3
"""


async def fill(url: str, scale: Scale, issuer: str, now: datetime) -> None:
    """Fill a migrated, empty database. The ledger, what it adds up to and the portfolios' totals fit the rows."""
    at = now - timedelta(microseconds=now.microsecond)
    usual, more = divmod(scale.scans - scale.busy * SCANS_OF_MANY, scale.users - scale.busy)
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute(_UUID7)
        async with connection.transaction():
            # Triggers and foreign keys do not look at what is made to fit.
            await connection.execute("set local session_replication_role = replica")
            await connection.execute(_PEOPLE, at, scale.investing, scale.users)
            await connection.execute(_USERS)
            await connection.execute(_IDENTITIES, issuer)
            await connection.execute(_SCANS, at, scale.busy, SCANS_OF_MANY, usual, more)
            await connection.execute(_PORTFOLIOS, scale.investing, POSITIONS_EACH, PORTFOLIOS_EACH)
            await connection.execute(_POSITIONS, POSITIONS_EACH)
            await connection.execute(_TOTALS)
            await connection.execute(_LEDGER, UNLIMITED, at)
            await connection.execute(_COUNTERS)
            await connection.execute(_DAYS_USED)
        await connection.execute("vacuum (analyze)")
    finally:
        await connection.close()
