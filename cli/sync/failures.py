"""What goes wrong between a command and a server, told on stderr. How it is found out is in answers."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from cli.output import plain

_MOST_SHOWN = 10
_LONGEST = 1000


class Failure(Exception):
    """One thing that went wrong. `code` is a server's (docs/errors.md) or one of the command's own (docs/sync.md).

    `transient`: another attempt may succeed; `wait`: not before so many seconds. `details` are what a server says
    besides: `fields`, `remedies` and the like, untrusted. `about` names the file that it is about.
    """

    def __init__(
        self,
        code: str,
        message: str,
        remedy: str = "",
        *,
        transient: bool = False,
        wait: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.remedy = code, message, remedy
        self.transient, self.wait = transient, wait
        self.details: Mapping[str, Any] = details or {}
        self.about: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs: what is known, and nothing that is not."""
        known = {"about": self.about, "remedy": self.remedy or None}
        own = {"code": self.code, "message": self.message, **{name: said for name, said in known.items() if said}}
        return {**self.details, **own}

    def lines(self) -> list[str]:
        """For people, as a server wrote it: first what happened and what to do, then faults and ways out."""
        about = f"{self.about}: " if self.about else ""
        faults = _fields(self.details)
        # A server's message has the first faults already.
        message = "refused, for its faults:" if faults else self.message
        first = " ".join(filter(None, (f"{about}{message}", self.remedy)))
        return [_short(first), *(f"  {_short(one)}" for one in [*faults, *_remedies(self.details)])]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _objects(details: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """A server's list of objects; what is none is left out."""
    given = details.get(name)
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _fields(details: Mapping[str, Any]) -> list[str]:
    faults = _objects(details, "fields")
    shown = []
    for fault in faults[:_MOST_SHOWN]:
        place = [str(fault.get("path", "?")), *(f"{name} {fault[name]}" for name in ("row", "column") if name in fault)]
        shown.append(f"{', '.join(place)}: {fault.get('message', '')}")
    return [*shown, f"… and {len(faults) - _MOST_SHOWN} more"] if len(faults) > _MOST_SHOWN else shown


def _remedies(details: Mapping[str, Any]) -> list[str]:
    ways = _objects(details, "remedies")[:_MOST_SHOWN]
    return [" ".join(str(way[name]) for name in ("message", "url") if way.get(name)) for way in ways]


def dumped(document: object) -> str:
    """One JSON document. In ASCII: nothing in it can steer a terminal."""
    return json.dumps(document, indent=2)


def tell(failure: Failure, *, as_json: bool) -> None:
    """Say on stderr what went wrong."""
    if as_json:
        typer.echo(json.dumps({"error": failure.as_json()}), err=True)
        return
    first, *others = failure.lines()
    say(f"gatehouse: {first}", "red")
    for line in others:
        say(line)


def say(words: str, style: str | None = None) -> None:
    """A line for people, on stderr."""
    Console(stderr=True, soft_wrap=True).print(plain(words), style=style, markup=False, highlight=False)


@contextmanager
def reporting(*, as_json: bool) -> Iterator[None]:
    """A failure within is told, and ends the command with 1. As JSON, a wrong use found on the way is told so too."""
    try:
        yield
    except Failure as failure:
        tell(failure, as_json=as_json)
        raise typer.Exit(1) from None
    except typer.BadParameter as error:
        if not as_json:
            raise
        tell(Failure("USAGE", error.message), as_json=True)
        raise typer.Exit(2) from None
