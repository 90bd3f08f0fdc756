"""The role the application works as: it owns no table, so that it cannot lift what guards the ledger."""

import hashlib

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db.models import Base

NAME = "'gatehouse_app_' || left(encode(sha256(convert_to(current_database(), 'UTF8')), 'hex'), 8)"
"""The role's name, as SQL. Roles belong to all databases of a server: one for all would let staging into production."""
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


def name_in(database: str) -> str:
    """The role's name in the database of this name."""
    return f"gatehouse_app_{hashlib.sha256(database.encode()).hexdigest()[:8]}"


def assume(*, for_transaction: bool) -> str:
    """The statement by which a connection, or only its transaction, works as the role from now on.

    It does nothing where there is no such role, where the user may not set it (a membership may lack that from
    Postgres 16 on), or where these tables were not granted to it.
    """
    return _ASSUME.format(local="true" if for_transaction else "false", name=NAME)


def grant(connection: Connection) -> str | None:
    """Make the role where there is none, let the current user work as it, and give it its rights on our tables.

    Where that is not allowed nothing is done, and what is returned says what an administrator would run.
    """
    # Those who migrate at once would trip over each other's changes of the same privileges.
    connection.execute(text(f"select pg_advisory_xact_lock({MIGRATION_LOCK})"))
    user = connection.scalar(text("select quote_ident(current_user)"))
    role = connection.scalar(text(f"select {NAME}"))
    if not _try(connection, f"set local role {role}"):
        exists = connection.scalar(text("select true from pg_roles where rolname = :name"), {"name": role})
        if not exists:
            _try(connection, f"create role {role} nologin")
        _try(connection, f"grant {role} to {user}")
    if not _try(connection, f"set local role {role}"):
        return (
            f"{user} may not make or join the role {role}. Have an administrator run: "
            f"create role {role} nologin; grant {role} to {user}; then migrate again."
        )
    connection.execute(text("reset role"))
    schema = connection.scalar(text("select quote_ident(current_schema())"))
    connection.execute(text(f"grant usage on schema {schema} to {role}"))
    for table in (*Base.metadata.tables, "alembic_version"):
        if connection.scalar(text("select to_regclass(:table)"), {"table": table}):
            connection.execute(text(f"revoke all on {table} from {role}"))
            rights = _RIGHTS.get(table, "select, insert, update, delete")
            connection.execute(text(f"grant {rights} on {table} to {role}"))
    return None


def _try(connection: Connection, statement: str) -> bool:
    """Run it; False, and nothing of it left, when Postgres refuses or another migration was quicker."""
    try:
        with connection.begin_nested():
            connection.execute(text(statement))
    except DBAPIError:
        return False
    return True
