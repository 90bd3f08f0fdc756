"""How arguments that several commands take are written, and read. Which commands there are is not known here."""

import re
from datetime import UTC, datetime, timedelta

import typer

TIME = typer.Option(metavar="TIME", help="Such as 90s, 30m, 8h or 30d.")


def duration(text: str) -> timedelta:
    """`90s`, `30m`, `8h` or `7d`."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not found:
        raise typer.BadParameter("write a number and s, m, h or d, such as 8h.")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def moment(given: datetime) -> datetime:
    """A time without an offset is in UTC."""
    return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
