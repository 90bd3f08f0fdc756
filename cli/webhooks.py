"""`gatehouse webhooks`: see what arrived, and send yourself what a provider would."""

import asyncio
import uuid
from typing import Annotated, Any, Literal

import httpx
import orjson
import typer

import clock
from cli import environment
from cli.output import show
from db import queries
from domain.personas import PERSONAS, Persona

webhooks = typer.Typer(help="See what providers told, and try it out.", no_args_is_help=True)


def add_to(command: typer.Typer) -> None:
    command.add_typer(webhooks, name="webhooks")


@webhooks.command("list")
def list_deliveries() -> None:
    """List the newest 50 deliveries."""

    async def run() -> None:
        async with environment.database(environment.load()) as database, database.transaction() as session:
            rows = [
                (
                    f"{one.received_at:%Y-%m-%d %H:%M:%S}",
                    one.event_type,
                    one.subject,
                    one.attempts,
                    one.outcome or f"failed: {one.error}",
                    one.message_id,
                )
                for one in await queries.deliveries.newest(session, 50)
            ]
            show(("received", "type", "subject", "attempts", "outcome", "message"), rows)

    asyncio.run(run())


@webhooks.command()
def send(
    event: Annotated[Literal["user.created", "user.updated", "user.deleted"], typer.Argument(help="What happened.")],
    persona: Annotated[str, typer.Option("--as", help=f"To whom: {', '.join(PERSONAS)}.")] = "free",
    first_name: Annotated[str, typer.Option(help="The first name the provider has now.")] = "Ada",
    last_name: Annotated[str, typer.Option(help="The last name the provider has now.")] = "Example",
    url: Annotated[str | None, typer.Option(help="Where to; by default the server on this machine.")] = None,
) -> None:
    """Sign an event as Clerk would, and deliver it. Development only."""
    from svix.webhooks import Webhook

    settings = environment.load()
    environment.local_issuer(settings)
    if persona not in PERSONAS:
        raise typer.BadParameter(f"one of {', '.join(PERSONAS)}.", param_hint="--as")
    now = clock.now()
    data = _user(PERSONAS[persona], first_name, last_name) if event != "user.deleted" else _deleted(PERSONAS[persona])
    milliseconds = int(now.timestamp() * 1000)
    body = orjson.dumps({"object": "event", "type": event, "timestamp": milliseconds, "data": data}).decode()
    message_id = f"msg_{uuid.uuid4().hex}"
    signature = Webhook(settings.webhook_secrets[0]).sign(message_id, now, body)
    headers = {
        "Content-Type": "application/json",
        "svix-id": message_id,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": signature,
    }
    target = url or f"http://127.0.0.1:{settings.port}/webhooks/clerk"
    try:
        answer = httpx.post(target, content=body, headers=headers, timeout=15)
    except httpx.HTTPError as error:
        where = "name the port of `make run` with PORT=… or the address with --url"
        raise ValueError(f"nobody answers at {target} ({error}); {where}.") from None
    typer.echo(f"{answer.status_code} {answer.text}".strip())
    if not answer.is_success:
        raise typer.Exit(1)


def _user(persona: Persona, first_name: str, last_name: str) -> dict[str, Any]:
    milliseconds = int(clock.now().timestamp() * 1000)
    address = {"id": "idn_1", "email_address": persona.email, "verification": {"status": "verified"}}
    return {
        "object": "user",
        "id": persona.subject,
        "username": persona.name,
        "first_name": first_name,
        "last_name": last_name,
        "image_url": None,
        "primary_email_address_id": "idn_1",
        "email_addresses": [address],
        "created_at": milliseconds,
        "updated_at": milliseconds,
    }


def _deleted(persona: Persona) -> dict[str, Any]:
    return {"object": "user", "id": persona.subject, "deleted": True}
