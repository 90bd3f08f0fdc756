"""`gatehouse serve` that kills itself between the commit of an outcome and its reply: python -m tests.dying_server."""

import os
import signal
import sys
from typing import Any

import cli
from db import session

_engine = session._engine


def _dying(connect: dict[str, Any], **options: Any) -> Any:
    engine = _engine(connect, **options)
    dialect: Any = engine.sync_engine.dialect
    execute, commit, kept = dialect.do_execute, dialect.do_commit, set()

    def watch(cursor: Any, statement: str, *arguments: Any) -> None:
        if statement.startswith("INSERT INTO idempotency_records"):
            kept.add(cursor._adapt_connection)
        execute(cursor, statement, *arguments)

    def commit_and_die(connection: Any) -> None:
        commit(connection)
        if connection.dbapi_connection in kept:
            os.kill(os.getpid(), signal.SIGKILL)

    dialect.do_execute, dialect.do_commit = watch, commit_and_die
    return engine


if __name__ == "__main__":
    session._engine = _dying
    sys.argv[1:1] = ["serve"]
    cli.main()
