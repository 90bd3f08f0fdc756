"""How commands print tables. What is in them is for the commands."""

import sys

from rich.console import Console
from rich.table import Table


def show(table: Table) -> None:
    """As wide as the terminal; in a pipe as wide as it needs, so that nothing is cut."""
    table.pad_edge = False
    Console(width=None if sys.stdout.isatty() else 500).print(table)
