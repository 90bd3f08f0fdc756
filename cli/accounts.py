"""`gatehouse token`, `gatehouse users` and `gatehouse invites`."""

import asyncio
import secrets
from datetime import timedelta
from typing import Annotated

import typer

import clock
import domain
import errors
from auth.issuers import Kind
from auth.local_issuer import LocalIssuer
from cli import environment
from cli.arguments import TIME, duration
from cli.output import show, shown
from db import queries
from db.models import User
from db.session import Session
from domain.personas import PERSONAS, Persona

users = typer.Typer(help="Look at accounts, shut them out, let them in.", no_args_is_help=True)
invites = typer.Typer(help="Hand out invite codes.", no_args_is_help=True)


Who = Annotated[str, typer.Argument(help="An id, email, username or subject.")]


def add_to(command: typer.Typer) -> None:
    command.command()(token)
    command.add_typer(users, name="users")
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


async def _one(session: Session, who: str) -> User:
    found = await queries.accounts.find_users(session, who)
    if not found:
        raise errors.NotFound(f"Nobody with the id, email, username or subject {who}.")
    if len(found) > 1:
        several = ", ".join(f"{user.id} ({user.username})" for user in found)
        raise errors.Conflict(f"{who} fits {len(found)} accounts; name one by its id: {several}.")
    return found[0]


@users.command("show")
def show_user(who: Who) -> None:
    """Show an account and its identities."""

    async def run() -> None:
        async with environment.database(environment.load()) as database, database.transaction() as session:
            user = await _one(session, who)
            names = ("id", "email", "email_verified", "full_name", "username", "tier", "invite_validated")
            times = ("trial_ends_at", "disabled_at", "deleted_at", "created_at", "updated_at")
            rows = [(name, shown(getattr(user, name))) for name in (*names, *times)]
            for identity in await queries.accounts.identities(session, user.id):
                state = " (deleted)" if identity.deleted_at else ""
                rows.append(("identity", f"{identity.issuer} {identity.subject}{state}"))
            show((), rows)

    asyncio.run(run())


@users.command()
def disable(who: Who) -> None:
    """Shut an account out. Nothing of it is lost."""
    _set_disabled(who, disabled=True)


@users.command()
def enable(who: Who) -> None:
    """Let an account in again."""
    _set_disabled(who, disabled=False)


def _set_disabled(who: str, *, disabled: bool) -> None:
    async def run() -> None:
        async with environment.database(environment.load()) as database, database.transaction() as session:
            user = await _one(session, who)
            await domain.accounts.set_disabled(session, user.id, disabled=disabled)
            typer.echo(f"{user.username} is {'disabled' if disabled else 'enabled'}.")

    asyncio.run(run())


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
