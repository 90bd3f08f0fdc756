"""The `gatehouse` command: the only place that parses arguments. Its work is done by the layers below."""

import sys

import typer
from rich.console import Console

from cli import accounts, database, serving, webhooks
from db.embedded import EmbeddedPostgresError
from errors import AppError
from settings import SettingsError

command = typer.Typer(
    name="gatehouse",
    help="The account layer of a SaaS as one typed GraphQL API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (serving, database, accounts, webhooks):
    module.add_to(command)


def main() -> None:
    """Run a command. Exit code 0: done; 1: refused or failed, with one line on stderr; 2: wrong usage."""
    try:
        command()
    except (SettingsError, EmbeddedPostgresError, AppError, ValueError) as error:
        Console(stderr=True, soft_wrap=True).print(f"gatehouse: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
