"""`gatehouse quota prove`: options, progress and verdict. What is tried is in plan, worker and attack."""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import clock
from cli import environment
from cli.output import show
from cli.quota.attack import Orders, Verdict, attack
from db import scratch
from db.session import Database

quota = typer.Typer(help="Prove that quotas hold.", no_args_is_help=True)

_LEFT_FOR_GOOD = timedelta(hours=1)
_MOST_SHOWN = 5


def add_to(command: typer.Typer) -> None:
    command.add_typer(quota, name="quota")


@quota.callback()
def _commands() -> None:
    """Quotas."""


@quota.command()
def prove(
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many processes attack.")] = 4,
    seconds: Annotated[float, typer.Option(min=0, max=3600, help="For how long, roughly.")] = 15,
    rounds: Annotated[int | None, typer.Option(min=1, help="How many rounds, instead of --seconds.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The plan to repeat; a new one without.")] = None,
) -> None:
    """Attack the quotas of this database, in a scratch schema that is dropped afterwards, and say whether they held.

    Real processes spend, give back, adjust, are killed, time out, cross ends of months and try to cheat by direct
    SQL, all at once; then the tables alone are asked. Nothing outside of the scratch schema is touched.
    """
    settings = environment.load()
    chosen = secrets.randbelow(2**31) if seed is None else seed
    with environment.database_url(settings) as url:
        direct = settings.database_direct_url
        orders = Orders(url, direct.get_secret_value() if direct else None, processes, chosen, seconds, rounds)
        if direct:
            typer.echo("Attacking through the pooler at DATABASE_URL; DATABASE_DIRECT_URL makes and drops the schema.")
        verdict = asyncio.run(_prove(orders))
    _say(verdict)
    if not verdict.holds:
        raise typer.Exit(1)


async def _prove(orders: Orders) -> Verdict:
    await _name_leftovers(orders.direct_url or orders.url)
    with _progress() as progress, _stopped_gently():
        return await attack(orders, progress)


@contextlib.contextmanager
def _stopped_gently() -> Iterator[None]:
    """Ctrl-C and SIGTERM, once, cancel the task that runs, which cleans up behind itself."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    waiting = [task]

    def stop() -> None:
        while waiting:
            waiting.pop().cancel()

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    try:
        yield
    except asyncio.CancelledError:
        raise ValueError("stopped before there was a verdict; the scratch schema is gone.") from None
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("Attacking"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1)
        yield lambda done: bar.update(task, completed=min(done, 1))


async def _name_leftovers(url: str) -> None:
    database = Database(url)
    try:
        left = await scratch.leftovers(database, clock.now() - _LEFT_FOR_GOOD)
    finally:
        await database.close()
    for name in left:
        typer.echo(f"Left by a prover that was killed; drop it: drop schema {name} cascade;", err=True)


def _say(verdict: Verdict) -> None:
    done = verdict.outcomes
    show(
        (),
        [
            ("seed", f"{verdict.seed} (--seed {verdict.seed} tries the same)"),
            ("rounds", verdict.rounds),
            ("granted", done["granted"]),
            ("refused", done["refused"]),
            ("returned", done["returned"]),
            ("returned twice", f"{done['returned before']} tried, 0 counted"),
            ("adjusted", done["adjusted"]),
            ("direct SQL", f"{done['denied']} tried, refused"),
            ("killed", f"{done['killed']} processes"),
            ("timed out", done["timed out"]),
            ("month ends", f"{done['month end']} crossed"),
        ],
    )
    show((), [("broken" if often else "holds", words, often or "") for words, often in verdict.wrong.items()])
    for reason in verdict.reasons[:_MOST_SHOWN]:
        typer.echo(reason)
    typer.echo("Not one quota was overspent, and not one unit was lost." if verdict.holds else "Quotas do not hold.")
