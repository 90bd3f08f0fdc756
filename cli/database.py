"""`gatehouse migrate` and `gatehouse seed`, and `gatehouse schema`."""

import asyncio
from typing import Annotated

import typer
from rich import print as say

from auth.local_issuer import ISSUERS
from cli import environment
from db import migrate as migrations
from domain import personas

migrate_command = typer.Typer(help="Bring the tables to a revision.", invoke_without_command=True)


def add_to(command: typer.Typer) -> None:
    command.add_typer(migrate_command, name="migrate")
    command.command()(seed)
    command.command()(schema)


@migrate_command.callback()
def migrate(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="A revision, `head` or `base`; older ones undo what came after.")] = "head",
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements from nothing to --to, and run none.")
    ] = False,
) -> None:
    """Bring the tables to a revision, by default the newest."""
    if context.invoked_subcommand is not None:
        return
    if sql:
        typer.echo(migrations.sql(to), nl=False)
        return
    settings = environment.load()
    with environment.database_url(settings) as url:
        status = asyncio.run(migrations.migrate(environment.direct_url(settings, url), to))
    say(f"The tables are at {status.current or 'nothing'}.")
    if status.role_missing:
        say(f"The application works as the owner of its tables; triggers alone guard the ledger. {status.role_missing}")
    elif status.current:
        say("The application works as a role of its own (gatehouse_app_…), which owns no table.")


@migrate_command.command()
def status() -> None:
    """Say where the tables stand; exit code 1 when steps are to come."""
    settings = environment.load()
    with environment.database_url(settings) as url:
        found = asyncio.run(migrations.status(environment.direct_url(settings, url)))
    say(f"current: {found.current or 'nothing'}\nhead:    {found.head}")
    for revision in found.pending:
        say(f"pending: {revision}")
    if found.unknown:
        say("The tables were made by a newer Gatehouse than this one.")
    if found.as_owner:
        say(
            "The application works as the owner of these tables, so triggers alone guard the ledger: a role of its own "
            "belongs to a database by its name, and is not there yet. Run `gatehouse migrate`; it says what is missing."
        )
    if not found.at_head:
        raise typer.Exit(1)


def seed() -> None:
    """Make the personas, or put them back into their states. Development only."""
    settings = environment.load()
    environment.local_issuer(settings)
    plans = environment.plans(settings)

    async def run() -> None:
        async with environment.database(settings) as database, database.transaction() as session:
            await personas.seed(session, ISSUERS["clerk"], environment.terms(settings), plans)

    asyncio.run(run())
    for persona in personas.PERSONAS.values():
        say(f"{persona.name:12} {persona.story}")


def schema() -> None:
    """Print the schema in the schema definition language."""
    from resolvers.root import schema as executable

    typer.echo(executable.as_str())
