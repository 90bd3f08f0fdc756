"""`gatehouse users`: what an operator sees of an account and decides for it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

import typer

import clock
import errors
from cli import environment
from cli.arguments import TIME, duration, moment
from cli.output import show, shown
from db import queries
from db.models import Override, User
from db.session import Session
from domain import accounts, tiers
from domain.actor import standing_of
from domain.decisions import Quota
from domain.entitlements import quota_of
from domain.plans import LARGEST, Plans
from domain.usage import overview, usages
from settings import Settings

users = typer.Typer(help="Look at accounts, shut them out, let them in, give them more.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="An id, email, username or subject.")]


def add_to(command: typer.Typer) -> None:
    command.add_typer(users, name="users")


async def one(session: Session, who: str) -> User:
    """The only account that `who` fits; `NotFound` and `Conflict` say what to write instead."""
    found = await queries.accounts.find_users(session, who)
    if not found:
        raise errors.NotFound(f"Nobody with the id, email, username or subject {who}.")
    if len(found) > 1:
        several = ", ".join(f"{user.id} ({user.username})" for user in found)
        raise errors.Conflict(f"{who} fits {len(found)} accounts; name one by its id: {several}.")
    return found[0]


def _with(who: str, work: Callable[[Session, User, Plans], Awaitable[str]]) -> None:
    """Find the account, do the work in one transaction, and print what came of it."""
    settings = environment.load()
    plans = environment.plans(settings)

    async def run() -> None:
        async with environment.database(settings) as database, database.transaction() as session:
            words = await work(session, await one(session, who), plans)
        typer.echo(words)

    asyncio.run(run())


@users.command("show")
def show_user(who: Who) -> None:
    """Show an account, its identities, what was granted to it and what it has used."""
    settings = environment.load()
    plans = environment.plans(settings)

    async def run() -> None:
        async with environment.database(settings) as database, database.transaction() as session:
            user = await one(session, who)
            names = ("id", "email", "email_verified", "full_name", "username", "tier", "invite_validated")
            times = ("trial_ends_at", "disabled_at", "deleted_at", "created_at", "updated_at")
            rows = [(name, shown(getattr(user, name))) for name in (*names, *times)]
            for identity in await queries.accounts.identities(session, user.id):
                state = " (deleted)" if identity.deleted_at else ""
                rows.append(("identity", f"{identity.issuer} {identity.subject}{state}"))
            rows += [("override", _granted(found)) for found in await queries.usage.overrides(session, user.id)]
            show((), rows + await _usage(session, user, plans, settings))

    asyncio.run(run())


def _granted(override: Override) -> str:
    amount = "without limit" if override.extra is None else f"{override.extra} more"
    until = f"until {shown(override.until)}" if override.until else "for good"
    ended = " (ended)" if override.until and override.until <= clock.now() else ""
    return f"{override.feature}: {amount}, {until}{ended}" + (f", {override.note}" if override.note else "")


async def _usage(session: Session, user: User, plans: Plans, settings: Settings) -> list[tuple[str, str]]:
    """A row for each feature that is counted: used and allowed, as the account itself is told."""
    [row] = await session.execute(queries.accounts.standing_of_user(user.id).select)
    standing, now = standing_of(row, invite_required=settings.invite_code_enabled), clock.now()
    used = usages(plans, (await session.execute(overview(user.id, now).select)).all())
    quotas = [quota_of(plans, standing, one, used[one.key].counted, now) for one in plans.features.values()]
    return [("usage", _counted(quota)) for quota in quotas if quota is not None]


def _counted(quota: Quota) -> str:
    limit = ", without limit" if quota.limit is None else f" of {quota.limit}"
    resets = f", resets {shown(quota.resets_at)}" if quota.resets_at else ""
    return f"{quota.feature}: {quota.used}{limit}{resets}"


@users.command("ledger")
def show_ledger(
    who: Who,
    number: Annotated[int, typer.Option(min=1, max=10_000, help="How many of the newest rows.")] = 20,
) -> None:
    """Say why the counters of an account are what they are: every spend, return and adjustment, the newest first."""

    async def run() -> None:
        async with environment.database(environment.load()) as database, database.transaction() as session:
            user = await one(session, who)
            rows = [
                (shown(row.created_at), row.feature, row.kind, f"{row.amount:+}", row.balance, row.paid_for, row.reason)
                for row in await queries.usage.newest_entries(session, user.id, number)
            ]
            show(("when", "feature", "kind", "amount", "counter", "paid for", "reason"), rows)

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
    async def work(session: Session, user: User, _plans: Plans) -> str:
        await accounts.set_disabled(session, user.id, disabled=disabled)
        return f"{user.username} is {'disabled' if disabled else 'enabled'}."

    _with(who, work)


@users.command("set-tier")
def set_tier(who: Who, tier: Annotated[str, typer.Argument(help="A tier of plans.toml, or an alias.")]) -> None:
    """Move an account to another tier, at once. Nothing of it is lost where the limits are lower."""

    async def work(session: Session, user: User, plans: Plans) -> str:
        plan = await tiers.assign(session, plans, user.id, tier)
        return f"{user.username} is {plan.tier}."

    _with(who, work)


@users.command()
def override(
    who: Who,
    feature: Annotated[str, typer.Argument(help="A feature of plans.toml, such as aiMessages.")],
    *,
    extra: Annotated[int | None, typer.Option(min=1, max=LARGEST, help="How many above the limit.")] = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Without limit; switches a switch on.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take back what was granted.")] = False,
    lasting: Annotated[str | None, typer.Option("--for", metavar="TIME", help=TIME.help)] = None,
    until: Annotated[datetime | None, typer.Option(help="When it ends, in UTC; for good without.")] = None,
    note: Annotated[str | None, typer.Option(help="For yourself: why.")] = None,
) -> None:
    """Give an account more of a feature, in the place of what was granted of it before."""
    if sum((extra is not None, unlimited, remove)) != 1:
        raise typer.BadParameter("one of --extra, --unlimited and --remove.")
    if sum((remove, lasting is not None, until is not None)) > 1 or (remove and note is not None):
        raise typer.BadParameter("--for or --until, and neither they nor --note with --remove.")
    ends = clock.now() + duration(lasting) if lasting else until and moment(until)

    async def work(session: Session, user: User, plans: Plans) -> str:
        if remove:
            taken = await tiers.withdraw(session, plans, user.id, feature)
            return f"{user.username} has no more of {taken.key} than the plan says."
        granted = await tiers.grant(session, plans, user.id, feature, extra=extra, until=ends, note=note)
        amount = f"{granted.key} without limit" if extra is None else f"{extra} {granted.key} above the limit"
        return f"{user.username} has {amount}, {f'until {shown(ends)}' if ends else 'for good'}."

    _with(who, work)
