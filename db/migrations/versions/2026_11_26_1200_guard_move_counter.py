"""The guard of the counters, by an operator that nobody else can supply."""

from alembic import op

revision = "2026_11_26_1200"
down_revision = "2026_11_26_1100"

# Postgres has no `oid <> regclass`. One that somebody makes in this schema would fit better than a conversion, and
# run as the owner of the tables; so the operator and its types are spelled out. The rest is as it was.
MOVE_COUNTER = """
create or replace function move_counter() returns trigger language plpgsql security definer as $$
declare
    spent_at timestamptz;
begin
    if tg_relid operator(pg_catalog.<>) 'ledger'::regclass::pg_catalog.oid then
        raise exception using
            message = 'only the ledger moves counters', errcode = 'integrity_constraint_violation';
    end if;
    new.balance := null;
    if new.kind = 'return' then
        select user_id, feature, period, -amount, created_at
        into new.user_id, new.feature, new.period, new.amount, spent_at
        from ledger where paid_for = new.paid_for and kind = 'spend' for update;
        if not found or exists (select from ledger where paid_for = new.paid_for and kind = 'return') then
            return null;
        end if;
        new.limit_then := null;
    end if;

    if new.amount < 0 then
        update counters set used = used + new.amount
        where user_id = new.user_id and feature = new.feature and period = new.period and used >= -new.amount
        returning used into new.balance;
    elsif new.amount <= new.limit_then then
        insert into counters as c (user_id, feature, period, used)
        values (new.user_id, new.feature, new.period, new.amount)
        on conflict (user_id, feature, period) do update set used = c.used + excluded.used
        where c.used + excluded.used <= new.limit_then
        returning c.used into new.balance;
    end if;
    if new.balance is null then
        return null;
    end if;

    if new.kind = 'spend' then
        insert into usage_days as d (user_id, feature, day, count)
        values (new.user_id, new.feature, (new.created_at at time zone 'UTC')::date, new.amount)
        on conflict (user_id, feature, day) do update set count = d.count + excluded.count;
    elsif new.kind = 'return' and new.period <> '1970-01-01' then
        update usage_days set count = count + new.amount
        where user_id = new.user_id and feature = new.feature
        and day = (spent_at at time zone 'UTC')::date;
    end if;
    return new;
end
$$
"""

# A function that is replaced loses its settings.
PIN_SEARCH_PATH = """
do $$ begin
    execute 'alter function move_counter() set search_path = ' || quote_ident(current_schema()) || ', pg_temp';
end $$
"""


def upgrade() -> None:
    op.execute(MOVE_COUNTER)
    op.execute(PIN_SEARCH_PATH)


def downgrade() -> None:
    """The stricter guard stays: tables of an earlier revision work with it too."""
