"""Statements of contestants that write SQL by hand; every one finds the account of the token's subject itself."""

# $1 is the issuer, $2 the subject.
CALLER = """(
    select u.id from identities i join users u on u.id = i.user_id
    where i.issuer = $1 and i.subject = $2 and i.deleted_at is null
        and u.disabled_at is null and u.deleted_at is null)"""
USED = """(
    select coalesce(sum(used), 0)::int from counters where user_id = u.id and feature = 'aiMessages'
        and period = date_trunc('month', now() at time zone 'UTC')::date)"""

ME = f"""
select u.id, u.email, u.username, u.full_name, u.tier, u.invite_validated, u.trial_ends_at, u.created_at,
    {USED} as used
from users u where u.id = {CALLER}
"""  # noqa: S608 - parts of ours
PORTFOLIO_COUNT = "select count(*) from portfolios where user_id = $1"
SCANS = f"""
select id, tool, target, status, severity, started_at, finished_at, created_at, critical, high, medium, low, info
from scans where user_id = {CALLER} order by created_at desc, id desc limit $3
"""  # noqa: S608 - parts of ours
SCAN_COUNT = f"select count(*) from scans where user_id = {CALLER}"  # noqa: S608 - parts of ours
PORTFOLIOS = f"select id, name, currency from portfolios where user_id = {CALLER} order by id limit $3"  # noqa: S608 - parts of ours
POSITIONS = """
select parent.id as portfolio_id, p.* from unnest($1::uuid[]) as parent (id) cross join lateral (
    select id, symbol, trim_scale(quantity) as quantity, trim_scale(entry_price) as entry_price, entry_date,
        investment_class
    from positions where portfolio_id = parent.id order by entry_date desc, id desc limit $2) as p
"""
# The ledger's trigger moves the counter, or refuses by inserting nothing; then there is no scan either.
_MAKING = f"""
with paid as (
    insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at)
    select $3::uuid, 'spend', caller, 'scans', date_trunc('month', $9::timestamptz at time zone 'UTC')::date, 1,
        9223372036854775807, $9
    from {CALLER} as found (caller) returning user_id),
made as (
    insert into scans (id, user_id, tool, target, status, started_at, finished_at, duration_ms,
        critical, high, medium, low, info, suppressed, created_at)
    select $3, user_id, $4, $5, $6, $7::timestamptz, $8::timestamptz,
        floor(extract(epoch from $8::timestamptz - $7::timestamptz) * 1000)::bigint, 0, 0, 0, 0, 0, 0, $9 from paid
    returning id, tool, status, created_at)
"""  # noqa: S608 - parts of ours


def make_scan(columns: str = "id, tool, status, created_at") -> str:
    """With `columns` of it, as SQL. $3 is its id; $4 to $8 are what is told of it, $9 is now."""
    return f"{_MAKING} select {columns} from made"  # noqa: S608 - parts of ours


def named() -> dict[str, str]:
    """Those that contestants on Node prepare."""
    return {
        "me": ME,
        "portfolio_count": PORTFOLIO_COUNT,
        "scans": SCANS,
        "scan_count": SCAN_COUNT,
        "portfolios": PORTFOLIOS,
        "positions": POSITIONS,
        "make_scan": make_scan(),
    }
