"""How Alembic runs our steps: on a connection it is given, or as SQL text. Where to connect is for db.migrate."""

from alembic import context
from sqlalchemy import Connection, text

from db.models import Base
from db.roles import MIGRATION_LOCK

LOCK_TIMEOUT = "5s"


def run(connection: Connection) -> None:
    # A step waits for a busy table only so long, else everything queues behind it; whole steps may take their time.
    connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text("set statement_timeout = 0"))
    connection.execute(text(f"select pg_advisory_lock({MIGRATION_LOCK})"))
    connection.commit()
    try:
        context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text(f"select pg_advisory_unlock({MIGRATION_LOCK})"))
        connection.commit()


def print_sql() -> None:
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        literal_binds=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
else:
    run(context.config.attributes["connection"])
