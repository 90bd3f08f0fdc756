"""`gatehouse token` and `gatehouse invites`; `gatehouse users` is in cli.users."""

import asyncio
import secrets
from datetime import timedelta
from typing import Annotated

import typer

import clock
import domain
from auth.issuers import Kind
from auth.local_issuer import LocalIssuer
from cli import environment
from cli.arguments import TIME, duration
from cli.output import show, shown
from db import queries
from domain.personas import PERSONAS, Persona

invites = typer.Typer(help="Hand out invite codes.", no_args_is_help=True)


def add_to(command: typer.Typer) -> None:
    command.command()(token)
    command.add_typer(invites, name="invites")


def token(
    persona: Annotated[str, typer.Option("--as", help=f"One of {', '.join(PERSONAS)}.")],
    expires: Annotated[str, TIME] = "1h",
    issuer: Annotated[Kind, typer.Option(help="Whose form the token has.")] = "clerk",
) -> None:
    """Print a token of the local issuer, and nothing else. Development only."""
    if persona not in PERSONAS:
        raise typer.BadParameter(f"one of {', '.join(PERSONAS)}.", param_hint="--as")
    local = environment.local_issuer(environment.load())
    typer.echo(token_of(local, PERSONAS[persona], duration(expires), issuer))


def token_of(local: LocalIssuer, who: Persona, expires: timedelta, kind: Kind = "clerk") -> str:
    """A token of the local issuer that speaks for a persona."""
    return local.sign(kind, who.subject, expires_in=expires, email=who.email, full_name=who.full_name)


@invites.command("create")
def create_invite(
    code: Annotated[str | None, typer.Option(help="The code; one is made up without.")] = None,
    max_uses: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many accounts it lets in.")] = 1,
    expires: Annotated[str | None, TIME] = None,
    note: Annotated[str | None, typer.Option(help="For yourself: whom it is for.")] = None,
) -> None:
    """Make an invite code and print it."""
    # Without I, L, O, 0 and 1, which people mistake for one another; 60 bits.
    made_up = "-".join("".join(secrets.choice("ABCDEFGHJKMNPQRSTUVWXYZ23456789") for _ in range(4)) for _ in range(3))

    async def run() -> None:
        async with environment.database(environment.load()) as database, database.transaction() as session:
            expires_at = clock.now() + duration(expires) if expires else None
            invite = await domain.invites.create(
                session, code=code or made_up, max_uses=max_uses, expires_at=expires_at, note=note
            )
            typer.echo(invite.code)

    asyncio.run(run())


@invites.command("list")
def list_invites() -> None:
    """List the newest 100 codes."""

    async def run() -> None:
        async with environment.database(environment.load()) as database, database.transaction() as session:
            rows = [
                (one.code, one.uses, one.max_uses, shown(one.expires_at), shown(one.withdrawn_at), one.note)
                for one in await queries.invites.newest(session, 100)
            ]
            show(("code", "used", "of", "expires", "withdrawn", "note"), rows)

    asyncio.run(run())


@invites.command()
def withdraw(code: Annotated[str, typer.Argument(help="The code.")]) -> None:
    """Stop a code. Those it let in stay in."""

    async def run() -> None:
        async with environment.database(environment.load()) as database, database.transaction() as session:
            invite = await domain.invites.withdraw(session, code)
            typer.echo(f"{invite.code} is withdrawn; it let {invite.uses} in.")

    asyncio.run(run())
