"""`gatehouse keys`: a person's API keys, managed with the token of a session, which is never stored."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

import clock
from cli.arguments import TIME, duration
from cli.output import show, shown
from cli.sync import profiles
from cli.sync.answers import Answer, Moment
from cli.sync.client import Client
from cli.sync.failures import Failure, dumped, reporting, say
from cli.sync.options import AsJson, Insecure, ProfileName, Url

keys = typer.Typer(help="Make, replace and stop your API keys.", no_args_is_help=True)

_FIELDS = "id name prefix scopes createdAt lastUsedAt expiresAt revokedAt"
_LIST = f"{{ me {{ apiKeys {{ {_FIELDS} }} }} }}"
_CREATE = (
    f"mutation($input: CreateApiKeyInput!) {{ made: createApiKey(input: $input) {{ secret apiKey {{ {_FIELDS} }} }} }}"
)
_ROTATE = (
    f"mutation($input: RotateApiKeyInput!) {{ made: rotateApiKey(input: $input) {{ secret apiKey {{ {_FIELDS} }} }} }}"
)
_REVOKE = f"mutation($input: RevokeApiKeyInput!) {{ made: revokeApiKey(input: $input) {{ apiKey {{ {_FIELDS} }} }} }}"

Token = Annotated[
    str | None,
    typer.Option(help="The token of your session, where others may see it; rather set GATEHOUSE_TOKEN."),
]
Which = Annotated[str, typer.Argument(metavar="KEY", help="Its id, its first characters, or its name.")]


class Scope(StrEnum):
    ACCOUNT_READ = "account:read"
    SCANS_READ = "scans:read"
    SCANS_WRITE = "scans:write"


class _Key(Answer):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: Moment
    last_used_at: Moment | None
    expires_at: Moment | None
    revoked_at: Moment | None

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= clock.now() else "works"


class _Keys(Answer):
    api_keys: list[_Key]


class _Mine(Answer):
    me: _Keys


class _Made(Answer):
    api_key: _Key
    secret: str | None = None


class _Done(Answer):
    made: _Made


def add_to(command: typer.Typer) -> None:
    command.add_typer(keys, name="keys")


@contextmanager
def _client(
    token: str | None, profile: str | None, url: str | None, *, insecure_http: bool, as_json: bool
) -> Iterator[Client]:
    """A client that speaks for the person whose token it is."""
    with reporting(as_json=as_json):
        secret = (token or profiles.said("GATEHOUSE_TOKEN") or "").strip()
        if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
            words = "This is not a token." if secret else "Keys are managed with the token of a session; there is none."
            raise Failure("NO_TOKEN", words, "Sign in where you use the service, and set GATEHOUSE_TOKEN.")
        server = profiles.server(profile, url, insecure_http=insecure_http)
        with Client(profiles.Connection(server, secret)) as client:
            yield client


@keys.command("list")
def list_keys(
    token: Token = None,
    url: Url = None,
    profile: ProfileName = None,
    insecure_http: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List your API keys: those that work first."""
    with _client(token, profile, url, insecure_http=insecure_http, as_json=as_json) as client:
        found = _mine(client)
        if as_json:
            typer.echo(dumped({"apiKeys": [{**key.shown(), "state": key.state} for key in found]}))
            return
        times = [(shown(key.created_at), shown(key.last_used_at), shown(key.expires_at)) for key in found]
        rows = [
            (key.prefix, key.name, key.state, " ".join(key.scopes), *when)
            for key, when in zip(found, times, strict=True)
        ]
        show(("key", "name", "state", "scopes", "created", "last used", "expires"), rows)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it, such as the machine it is for.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do; repeatable. By default everything.")
    ] = None,
    expires: Annotated[str | None, TIME] = None,
    *,
    token: Token = None,
    url: Url = None,
    profile: ProfileName = None,
    insecure_http: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, alone, on stdout: `gatehouse keys create ci | gatehouse sync configure`."""
    with _client(token, profile, url, insecure_http=insecure_http, as_json=as_json) as client:
        until = (clock.now() + duration(expires)).isoformat() if expires else None
        said = {"name": name, "scopes": [one.value for one in dict.fromkeys(scope or Scope)], "expiresAt": until}
        _reveal(_done(client, _CREATE, said), as_json=as_json)


@keys.command()
def rotate(
    which: Which,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long the old one still works, such as 8h; 0s for not at all.")
    ] = "1d",
    *,
    token: Token = None,
    url: Url = None,
    profile: ProfileName = None,
    insecure_http: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Replace an API key by another one with the same rights, and print that, alone, on stdout."""
    with _client(token, profile, url, insecure_http=insecure_http, as_json=as_json) as client:
        seconds = int(duration(overlap).total_seconds())
        said = {"id": _one(client, which).id, "overlapSeconds": seconds}
        _reveal(_done(client, _ROTATE, said), as_json=as_json)


@keys.command()
def revoke(
    which: Which,
    *,
    token: Token = None,
    url: Url = None,
    profile: ProfileName = None,
    insecure_http: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Stop an API key, at once and for good."""
    with _client(token, profile, url, insecure_http=insecure_http, as_json=as_json) as client:
        key = _done(client, _REVOKE, {"id": _one(client, which).id}).api_key
        if as_json:
            typer.echo(dumped({"apiKey": {**key.shown(), "state": key.state}}))
        else:
            say(f"{key.prefix}… ({key.name}) works no more.")


def _mine(client: Client) -> list[_Key]:
    return client.ask(_LIST, _Mine).me.api_keys


def _one(client: Client, which: str) -> _Key:
    """The key that is meant: by id whatever its state, else the only one that works and fits; `Failure` otherwise."""
    found = _mine(client)
    exact = [key for key in found if key.id == which]
    fitting = exact or [key for key in found if key.state == "works" and which.rstrip("…") in (key.prefix, key.name)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise Failure("NOT_FOUND", f"No working key of yours is {which}.", "See them: gatehouse keys list.")
    several = ", ".join(f"{key.prefix}… ({key.name}, id {key.id})" for key in fitting)
    raise Failure("CONFLICT", f"{which} fits {len(fitting)} keys: {several}.", "Name one by its id.")


def _done(client: Client, document: str, said: dict[str, Any]) -> _Made:
    """Under one idempotency key for all attempts, so that a lost answer does not leave a key that nobody knows."""
    return client.ask(document, _Done, {"input": {**said, "idempotencyKey": uuid.uuid4().hex}}).made


def _reveal(made: _Made, *, as_json: bool) -> None:
    key = made.api_key
    if made.secret is None:
        words = f"{key.prefix}… ({key.name}) was made, but its answer got lost, and it cannot be shown again."
        raise Failure("SECRET_LOST", words, f"Run: gatehouse keys revoke {key.id}. Then make another one.")
    if as_json:
        typer.echo(dumped({"secret": made.secret, "apiKey": {**key.shown(), "state": key.state}}))
        return
    ends = f", until {shown(key.expires_at)}" if key.expires_at else ""
    say(f"{key.name}: {', '.join(key.scopes)}{ends}. Keep it now; it may not be shown again.")
    typer.echo(made.secret)
