"""The role the application works as: it owns no table, so that it cannot lift what guards the ledger."""

import hashlib

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db.models import Base

NAME = "'gatehouse_app_' || left(encode(sha256(convert_to(current_database(), 'UTF8')), 'hex'), 8)"
"""The role's name, as SQL. Roles belong to all databases of a server: one for all would let staging into production."""
TABLES_ARE_THERE = "select to_regclass('ledger') is not null"
"""Where there are none, nothing can be said of who works with them."""
MIGRATION_LOCK = 7_207_512_410_001
"""Any number would do; two that migrate at once must use the same."""

_RIGHTS = {
    "ledger": "select, insert",
    "audit_events": "select, insert",
    "counters": "select",
    "usage_days": "select",
    "alembic_version": "select",
}
"""What the role may do with these tables; with all others: select, insert, update and delete."""

_ASSUME = """
select set_config('role', rolname, {local}) from pg_roles
where rolname = {name}
and pg_has_role(
    current_user, oid, case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end
)
and has_table_privilege(oid, to_regclass('ledger'), 'insert')
"""

_GRANTS_TO_OTHERS = """
select distinct kind, name, quote_ident(rolname) from (
    select 'table', oid::regclass::text, relowner, relacl from pg_class
    where relnamespace = current_schema()::regnamespace
    union all
    select 'function', oid::regprocedure::text, proowner, proacl from pg_proc
    where pronamespace = current_schema()::regnamespace
    union all
    select 'schema', quote_ident(nspname), nspowner, nspacl from pg_namespace where nspname = current_schema()
) as things (kind, name, owner, acl), aclexplode(acl), pg_roles
where pg_roles.oid = grantee and rolname like 'gatehouse\\_app%' and rolname <> {name}
and pg_has_role(current_user, owner, 'usage')
"""

_STRANGERS = """
select string_agg(quote_ident(rolname), ', ' order by rolname)
from pg_auth_members join pg_roles on pg_roles.oid = member
where roleid = (select oid from pg_roles where rolname = :name)
and not rolsuper and not pg_has_role(member, current_user, 'member')
"""
"""Who else may work as the role; not counted are those who may do everything with our tables anyway."""

_HAS_OURS = "select has_table_privilege(:name, to_regclass('ledger'), 'insert')"


def name_in(database: str) -> str:
    """The role's name in the database of this name."""
    return f"gatehouse_app_{hashlib.sha256(database.encode()).hexdigest()[:8]}"


def assume(*, for_transaction: bool) -> str:
    """The statement by which a connection, or only its transaction, works as the role from now on.

    It does nothing where there is no such role, where the user may not set it (a membership may lack that from
    Postgres 16 on), or where these tables were not granted to it.
    """
    return _ASSUME.format(local="true" if for_transaction else "false", name=NAME)


def is_assumed(connection: Connection) -> bool:
    """Whether the application would work as the role here; else it works as whoever connects."""
    return connection.scalar(text(assume(for_transaction=True))) is not None


def grant(connection: Connection) -> str | None:
    """Make the role where there is none, let the current user work as it, and give it its rights on our tables.

    Where that is not allowed, or would let others in, the role gets nothing, and what is returned says what an
    administrator would run.
    """
    # Those who migrate at once would trip over each other's changes of the same privileges.
    connection.execute(text(f"select pg_advisory_xact_lock({MIGRATION_LOCK})"))
    user = connection.scalar(text("select quote_ident(current_user)"))
    role = connection.scalar(text(f"select {NAME}"))
    schema = connection.scalar(text("select quote_ident(current_schema())"))
    _take_back(connection)
    exists = connection.scalar(text("select true from pg_roles where rolname = :name"), {"name": role})
    # The name can be guessed, so somebody may have made the role to be in it. Later it is for administrators to say.
    if exists and not connection.scalar(text(_HAS_OURS), {"name": role}):
        strangers = connection.scalar(text(_STRANGERS), {"name": role})
        if strangers:
            return (
                f"The role {role} was there before, and others may work as it: {strangers}. Have an administrator run: "
                f"revoke {role} from {strangers}; then migrate again."
            )
    if not _try(connection, f"set local role {role}"):
        if not exists:
            _try(connection, f"create role {role} nologin")
        _try(connection, f"grant {role} to {user}")
    if not _try(connection, f"set local role {role}"):
        return (
            f"{user} may not make or join the role {role}. Have an administrator run: "
            f"create role {role} nologin; grant {role} to {user}; then migrate again."
        )
    connection.execute(text("reset role"))
    connection.execute(text(f"grant usage on schema {schema} to {role}"))
    for table in (*Base.metadata.tables, "alembic_version"):
        if connection.scalar(text("select to_regclass(:table)"), {"table": table}):
            connection.execute(text(f"revoke all on {table} from {role}"))
            rights = _RIGHTS.get(table, "select, insert, update, delete")
            connection.execute(text(f"grant {rights} on {table} to {role}"))
    return None


def _take_back(connection: Connection) -> None:
    """Undo what a dump or copy of another database brought along: the rights of its role, and what `-x` leaves out."""
    for kind, name, other in connection.execute(text(_GRANTS_TO_OTHERS.format(name=NAME))).all():
        connection.execute(text(f"revoke all on {kind} {name} from {other}"))
    if connection.scalar(text("select to_regprocedure('move_counter()')")):
        connection.execute(text("revoke execute on function move_counter() from public"))


def _try(connection: Connection, statement: str) -> bool:
    """Run it; False, and nothing of it left, when Postgres refuses or another migration was quicker."""
    try:
        with connection.begin_nested():
            connection.execute(text(statement))
    except DBAPIError:
        return False
    return True
