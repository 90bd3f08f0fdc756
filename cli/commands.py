"""What `gatehouse` can be told, and how it ends. What each command does is in its module."""

import sys
from typing import NoReturn

import typer
from rich.console import Console

from cli import accounts, database, keys, quota, serving, sync, time, users, webhooks
from db.embedded import EmbeddedPostgresError
from errors import AppError, ServiceUnavailable
from settings import SettingsError

command = typer.Typer(
    name="gatehouse",
    help="The account layer of a SaaS as one typed GraphQL API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (serving, database, accounts, users, time, quota, webhooks, sync, keys):
    module.add_to(command)


def run() -> None:
    """Run the command of the process's arguments."""
    try:
        command()
    except ServiceUnavailable as error:
        _fail(f"DATABASE_URL: the database did not take the work ({_reason(error)}).")
    except (SettingsError, EmbeddedPostgresError, AppError, ValueError) as error:
        _fail(str(error))


def _fail(words: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"gatehouse: {words}", style="red", markup=False, highlight=False)
    sys.exit(1)


def _reason(error: BaseException) -> str:
    """What the driver or Postgres said, in one line; neither repeats a password."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error) or type(error).__name__).splitlines()[0]
