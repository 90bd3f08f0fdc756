"""Who a key belongs to, as a server tells it: `gatehouse sync status`, and the check of a new key."""

from typing import Any

import typer

from cli.output import plain, show, shown
from cli.sync import profiles
from cli.sync.answers import Answer, Moment
from cli.sync.client import Client
from cli.sync.failures import dumped, reporting
from cli.sync.options import AsJson, Insecure, ProfileName, Url

WHO = "me { username email tier inviteValidated plan { title } }"
_FEATURES = ("scans", "aiMessages", "portfolios")
_QUOTAS = " ".join(
    f'{name}: entitlement(feature: "{name}") {{ allowed message quota {{ used limit remaining resetsAt }} }}'
    for name in _FEATURES
)
_STATUS = f"{{ {WHO} usage {{ scansToday scansThisMonth scansTotal }} {_QUOTAS} }}"


class _Plan(Answer):
    title: str


class Me(Answer):
    username: str | None
    email: str | None
    tier: str
    invite_validated: bool
    plan: _Plan

    def __str__(self) -> str:
        """For people: who, and on which plan."""
        address = f" <{self.email}>" if self.email else ""
        return plain(f"{self.username or 'somebody'}{address}, {self.plan.title}")


class Who(Answer):
    """The answer to `WHO`."""

    me: Me


class _Usage(Answer):
    scans_today: int
    scans_this_month: int
    scans_total: int


class _Quota(Answer):
    used: int
    limit: int | None
    remaining: int | None
    resets_at: Moment | None

    def __str__(self) -> str:
        of = "without limit" if self.limit is None else f"of {self.limit}, {self.remaining} left"
        return f"{self.used} {of}" + (f", anew {shown(self.resets_at)}" if self.resets_at else "")


class _Entitlement(Answer):
    allowed: bool
    message: str
    quota: _Quota | None


class _Status(Who):
    usage: _Usage
    scans: _Entitlement
    ai_messages: _Entitlement
    portfolios: _Entitlement

    def rows(self) -> list[tuple[str, Any]]:
        """For people: a name and a value each."""
        found: list[tuple[str, Any]] = [
            ("account", self.me.username),
            ("email", self.me.email),
            ("plan", self.me.plan.title),
            ("invite", "validated" if self.me.invite_validated else "needed: nothing can be pushed yet"),
            ("scans today", self.usage.scans_today),
            ("scans this month", self.usage.scans_this_month),
            ("scans in all", self.usage.scans_total),
        ]
        named = {"quota of scans": self.scans, "AI messages": self.ai_messages, "portfolios": self.portfolios}
        # Of who may not, the server's own words say more than numbers.
        return found + [
            (name, f"{one.quota}; {one.message}" if one.quota and not one.allowed else one.quota or one.message)
            for name, one in named.items()
        ]


def who(client: Client) -> Me:
    """Whom the client's credential speaks for."""
    return client.ask(f"{{ {WHO} }}", Who).me


def status(
    profile: ProfileName = None, url: Url = None, insecure_http: Insecure = False, as_json: AsJson = False
) -> None:
    """Say who the key belongs to, on which plan, and what has been used."""
    with reporting(as_json=as_json):
        connection = profiles.connection(profile, url, insecure_http=insecure_http)
        with Client(connection) as client:
            found = client.ask(_STATUS, _Status)
        if as_json:
            typer.echo(dumped({"server": connection.server.url, **found.shown()}))
        else:
            show((), [("server", connection.server.url), *found.rows()])
