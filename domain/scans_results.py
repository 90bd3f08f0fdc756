"""What a scanner reports, whatever the format: runs with their findings. How a file is read is not here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from db.models import ScanStatus, Severity
from db.models.scans import MAX_MESSAGE, MAX_PATH, MAX_RULE, MAX_TARGET, MAX_TOOL
from errors import Fault

__all__ = [
    "MAX_FINDINGS",
    "MAX_MESSAGE",
    "MAX_PATH",
    "MAX_RULE",
    "MAX_SCANS",
    "MAX_TARGET",
    "MAX_TOOL",
    "NewFinding",
    "NewScan",
    "Report",
]

MAX_SCANS = 100
"""Runs in one file."""
MAX_FINDINGS = 50_000
"""Of all runs in one file together."""


class NewFinding(NamedTuple):
    """A finding as it is stored, in the order of its columns; see `db.models.Finding`."""

    severity: Severity
    rule_id: str | None
    rule_name: str | None
    message: str
    path: str | None
    start_line: int | None
    start_column: int | None
    end_line: int | None
    end_column: int | None
    score: Decimal | None
    fingerprint: str | None
    help_url: str | None
    suppressed: bool


class NewScan(NamedTuple):
    """One run of a tool. Times are UTC; `metadata` is what the file says beside what has a column."""

    tool: str
    tool_version: str | None = None
    target: str | None = None
    status: ScanStatus = ScanStatus.COMPLETE
    started_at: datetime | None = None
    finished_at: datetime | None = None
    findings: Sequence[NewFinding] = ()
    metadata: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Report:
    """What is in a file: its runs, or every fault that was found. With a fault, `scans` means nothing."""

    scans: list[NewScan] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
