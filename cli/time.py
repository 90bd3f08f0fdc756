"""`gatehouse clock`: moving the time of a development server, to see what a month's end or a trial's does."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

import clock
from cli import environment
from cli.arguments import duration, moment
from settings import SettingsError

_FARTHEST = timedelta(days=36_525)


def add_to(command: typer.Typer) -> None:
    command.command("clock")(show_or_move)


def show_or_move(
    forward: Annotated[str | None, typer.Option(metavar="TIME", help="By how much, such as 36h or 12d.")] = None,
    to: Annotated[datetime | None, typer.Option(help="To a moment in UTC.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to the real time.")] = False,
) -> None:
    """Say what time it is for Gatehouse here, or move it: for the running server too. Development only."""
    if sum(map(bool, (forward, to, reset))) > 1:
        raise typer.BadParameter("one of --forward, --to and --reset.")
    settings = environment.load()
    file = settings.clock_file
    if file is None:
        raise SettingsError("ENVIRONMENT: in production nobody moves the clock.")
    if forward or to:
        moved = clock.moved(file) + (duration(forward) if forward else moment(to) - clock.now() if to else timedelta())
        if abs(moved) > _FARTHEST:
            raise SettingsError("The clock would be more than a century off. Put it back: gatehouse clock --reset.")
        clock.move_followers(file, moved)
    elif reset:
        clock.move_followers(file, timedelta())
    typer.echo(f"{clock.now():%Y-%m-%d %H:%M:%S} UTC")
