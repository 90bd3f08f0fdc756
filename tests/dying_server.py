"""`gatehouse serve` that kills itself between the commit of an outcome and its reply: python -m tests.dying_server."""

import os
import signal
import sys
from typing import Any

import asyncpg

import cli
from db import session

_engine = session._engine
_execute = asyncpg.Connection.execute
_kept: set[Any] = set()


def _watched(connect: dict[str, Any], **options: Any) -> Any:
    engine = _engine(connect, **options)
    dialect: Any = engine.sync_engine.dialect
    execute = dialect.do_execute

    def watch(cursor: Any, statement: str, *arguments: Any) -> None:
        if statement.startswith("INSERT INTO idempotency_records"):
            _kept.add(cursor._adapt_connection._connection)
        execute(cursor, statement, *arguments)

    dialect.do_execute = watch
    return engine


async def _commit_and_die(connection: Any, query: str, *arguments: Any, **options: Any) -> Any:
    done = await _execute(connection, query, *arguments, **options)
    if query == "COMMIT" and connection in _kept:
        os.kill(os.getpid(), signal.SIGKILL)
    return done


if __name__ == "__main__":
    session._engine = _watched
    asyncpg.Connection.execute = _commit_and_die
    sys.argv[1:1] = ["serve"]
    cli.main()
