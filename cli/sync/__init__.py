"""`gatehouse sync`: scanners' reports to a server, by API key. A client like any other: it knows only the API."""

import typer

from cli.sync.account import status
from cli.sync.configure import configure
from cli.sync.listing import list_scans
from cli.sync.options import AsJson
from cli.sync.push import push

sync = typer.Typer(help="Push scanners' reports to a server, and see what is there.", no_args_is_help=True)
sync.command()(configure)
sync.command()(push)
sync.command("list")(list_scans)
sync.command()(status)


def add_to(command: typer.Typer) -> None:
    command.add_typer(sync, name="sync")


@sync.command()
def schema(_as_json: AsJson = False) -> None:
    """Print the JSON Schema of Gatehouse's own report format; JSON in any case."""
    # The one thing that is shared with the server and not asked for.
    from domain import scans_json

    typer.echo(scans_json.schema_text().rstrip())
