"""The ledger, what it adds up to, overrides, and audit events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_20_1900"
down_revision = "2026_11_20_1704"

# A refused spend returns null, so that no row is inserted and the transaction of the work goes on to say why.
MOVE_COUNTER = """
create function move_counter() returns trigger language plpgsql security definer as $$
declare
    spent_at timestamptz;
begin
    if tg_relid <> 'ledger'::regclass then
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

# Whoever calls it cannot slip in tables of the same names: their own temporary ones would come first otherwise.
PIN_SEARCH_PATH = """
do $$ begin
    -- Nobody else's trigger may call it.
    revoke execute on function move_counter() from public;
    execute 'alter function move_counter() set search_path = ' || quote_ident(current_schema()) || ', pg_temp';
end $$
"""

REFUSE_CHANGE = """
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception using
        message = tg_op || ' on ' || tg_table_name || ' is refused: it only grows',
        errcode = 'integrity_constraint_violation';
end
$$
"""

REFUSE_MOVE = """
create function refuse_move() returns trigger language plpgsql as $$
begin
    raise exception using
        message = tg_op || ' on ' || tg_table_name || ' is refused: only the ledger moves it',
        errcode = 'integrity_constraint_violation';
end
$$
"""


def upgrade() -> None:
    _create_ledger()
    _create_what_it_adds_up_to()
    _create_overrides_and_audit()
    _create_guards()


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("paid_for", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("period", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("limit_then", sa.BigInteger(), nullable=True),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "case kind when 'spend' then amount > 0 when 'return' then amount < 0 when 'adjustment' then amount <> 0"
            " else false end",
            name=op.f("ck_ledger_kind"),
        ),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_ledger_balance")),
        sa.CheckConstraint("amount < 0 or coalesce(balance <= limit_then, false)", name=op.f("ck_ledger_granted")),
        sa.CheckConstraint(
            "extract(day from period) = 1 and (kind <> 'spend' or period = '1970-01-01'"
            " or period = date_trunc('month', created_at at time zone 'UTC')::date)",
            name=op.f("ck_ledger_period"),
        ),
        sa.PrimaryKeyConstraint("paid_for", "kind", name=op.f("pk_ledger"), deferrable=True),
    )
    op.create_index("ix_ledger_user_id_feature_period", "ledger", ["user_id", "feature", "period"], unique=False)


def _create_what_it_adds_up_to() -> None:
    op.create_table(
        "counters",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("period", sa.Date(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_counters_used")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_counters_user_id")),
        sa.PrimaryKeyConstraint("user_id", "feature", "period", name=op.f("pk_counters")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "usage_days",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("count >= 0", name=op.f("ck_usage_days_count")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_usage_days_user_id")),
        sa.PrimaryKeyConstraint("user_id", "feature", "day", name=op.f("pk_usage_days")),
        postgresql_with={"fillfactor": "50"},
    )


def _create_overrides_and_audit() -> None:
    op.create_table(
        "overrides",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("extra", sa.BigInteger(), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("extra > 0", name=op.f("ck_overrides_extra")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_overrides_user_id")),
        sa.PrimaryKeyConstraint("user_id", "feature", name=op.f("pk_overrides")),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_audit_events_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
    )
    op.create_index(op.f("ix_audit_events_user_id"), "audit_events", ["user_id"], unique=False)


def _create_guards() -> None:
    for statement in (MOVE_COUNTER, PIN_SEARCH_PATH, REFUSE_CHANGE, REFUSE_MOVE):
        op.execute(statement)
    op.execute("create trigger move_counter before insert on ledger for each row execute function move_counter()")
    for table in ("ledger", "audit_events"):
        op.execute(
            f"create trigger only_grows before update or delete or truncate on {table}"
            " for each statement execute function refuse_change()"
        )
        # Statements on a parent that somebody has made for it have no statement's trigger here.
        op.execute(
            f"create trigger rows_stay before update or delete on {table} for each row execute function refuse_change()"
        )
    for table in ("counters", "usage_days"):
        op.execute(
            f"create trigger moved_by_ledger before insert or update or delete or truncate on {table}"
            " for each statement when (pg_trigger_depth() = 0) execute function refuse_move()"
        )
        op.execute(
            f"create trigger rows_moved_by_ledger before update or delete on {table}"
            " for each row when (pg_trigger_depth() = 0) execute function refuse_move()"
        )


def downgrade() -> None:
    for table in ("audit_events", "overrides", "usage_days", "counters", "ledger"):
        op.drop_table(table)
    for function in ("move_counter", "refuse_change", "refuse_move"):
        op.execute(f"drop function {function}()")
