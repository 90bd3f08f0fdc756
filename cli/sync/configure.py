"""`gatehouse sync configure`: taking an API key, trying it, and keeping it. Where it is kept is in profiles."""

import sys
from typing import Annotated

import typer

from cli.sync import account, profiles
from cli.sync.address import Server, server_of
from cli.sync.client import Client
from cli.sync.failures import Failure, dumped, reporting, say
from cli.sync.options import AsJson, Insecure, ProfileName, Url


def configure(
    api_key: Annotated[
        str | None, typer.Option(help="The key, where others may see it; without, it is asked for or read from a pipe.")
    ] = None,
    url: Url = None,
    profile: ProfileName = None,
    insecure_http: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Store an API key, after asking the server whether it holds."""
    with reporting(as_json=as_json):
        name = profiles.name_of(profile)
        before = profiles.read().get(name)
        address = profiles.url_of(url, before)
        agreed = insecure_http or (before is not None and before.insecure_http and address == before.url)
        server = server_of(address, insecure_http=agreed)
        key = profiles.checked_key(api_key if api_key is not None else _given())
        me, warning = _tried(server, key)
        kept = profiles.Profile.model_validate({"url": server.url, "api_key": key, "insecure_http": agreed})
        path = profiles.store(name, kept)
        warnings = [warning, *_overruled()] if warning else _overruled()
        if as_json:
            told = {"profile": name, "server": server.url, "file": str(path), "account": me and me.shown()}
            typer.echo(dumped({**told, "warnings": warnings}))
            return
        for words in warnings:
            say(f"gatehouse: {words}", "yellow")
        if me is not None:
            typer.echo(f"The key belongs to {me}.")
        typer.echo(f"Stored in {path} as profile {name}, for {server.url}.")


def _given() -> str:
    """From a pipe, or typed without being shown."""
    if sys.stdin is None or not sys.stdin.isatty():
        text = sys.stdin.readline(1000) if sys.stdin is not None else ""
        if not text.strip():
            remedy = "Pipe it in, run this on a terminal, or set GATEHOUSE_API_KEY instead."
            raise Failure("NO_API_KEY", "No API key came in.", remedy)
        return text
    return str(typer.prompt("API key", hide_input=True, err=True))


def _tried(server: Server, key: str) -> tuple[account.Me | None, str | None]:
    """Whom the key belongs to, or why that is not known; a key that does not hold is a `Failure`."""
    try:
        with Client(profiles.Connection(server, key)) as client:
            return account.who(client), None
    except Failure as failure:
        if failure.code == "FORBIDDEN":
            return None, "the key holds, but without the scope account:read it does not say whose it is."
        if failure.transient or failure.code == "DNS":
            return None, f"the key could not be tried: {failure.message} It is stored all the same."
        failure.remedy = f"{failure.remedy} Nothing was stored.".strip()
        raise


def _overruled() -> list[str]:
    """What goes before the file from now on, so that nobody wonders."""
    set_too = [name for name in ("GATEHOUSE_API_KEY", "GATEHOUSE_URL") if profiles.said(name)]
    return [f"{name} is set, and goes before what is stored." for name in set_too]
