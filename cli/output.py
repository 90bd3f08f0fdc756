"""How commands print tables. What is in them is for the commands."""

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """As wide as the terminal; in a pipe as wide as it needs, so that nothing is cut. Without columns, no heading."""
    table = Table(*columns, box=None, pad_edge=False, show_header=bool(columns))
    for row in rows:
        table.add_row(*map(_cell, row))
    Console(width=None if sys.stdout.isatty() else 500).print(table)


def plain(text: str) -> str:
    """What others wrote, in one line and without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _cell(value: object) -> Text:
    """Plain text: what people call themselves is neither markup nor a command to the terminal."""
    return Text("" if value is None else plain(str(value)))


def shown(value: object) -> str:
    """A value of a table for people: times to the minute, nothing for None."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return "" if value is None else str(value)
