"""Options that several commands of a client take, and how they are written. What they mean is profiles' business."""

from enum import StrEnum
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option("--url", help="The server; by default GATEHOUSE_URL, the profile's, or the one on this machine."),
]
ProfileName = Annotated[
    str | None, typer.Option("--profile", help="Which stored profile; by default GATEHOUSE_PROFILE, else default.")
]
Insecure = Annotated[bool, typer.Option("--insecure-http", help="Let the key travel by plain http to another machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, errors as JSON on stderr.")]


class Severity(StrEnum):
    """As people write it; the API has it in upper case."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"
