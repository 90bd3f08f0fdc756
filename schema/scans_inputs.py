"""Inputs of scans: what is pushed, and which scans and findings of a list are wanted. Types are in scans."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import strawberry
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

import clock
import strict_json
from db import queries
from db.models import ScanStatus, Severity
from db.models.scans import MAX_MESSAGE, MAX_PATH, MAX_RULE, MAX_TARGET, MAX_TOOL
from errors import Faults
from schema import ids
from schema.enums import describe
from schema.inputs import MutationInput, check_lines, check_text

MAX_FINDINGS = 1_000
"""That are sent one by one; a report may have more."""
MAX_METADATA = 16 * 1024
"""Bytes, as JSON."""
AHEAD = timedelta(minutes=5)
"""How much the clock of a sender may be fast."""
_INPUT_LIMITS = {
    "message": MAX_MESSAGE,
    "rule_id": MAX_RULE,
    "rule_name": MAX_RULE,
    "path": MAX_PATH,
    "fingerprint": MAX_PATH,
    "help_url": MAX_PATH,
}
_PLACES = ("start_line", "start_column", "end_line", "end_column")

describe(Severity, "How bad it is, the worst first.")
describe(
    ScanStatus,
    "How a scan ended.",
    COMPLETE="The tool ran to its end.",
    FAILED="The tool says that it did not: findings may be missing.",
)


@strawberry.enum(description="What scans are ordered by.")
class ScanOrderField(Enum):
    DATE = strawberry.enum_value("DATE", description="When they were pushed.")
    SEVERITY = strawberry.enum_value("SEVERITY", description="Their worst finding; those without any are the least.")
    DURATION = strawberry.enum_value("DURATION", description="How long they took; those without times are the least.")


@strawberry.enum(description="Which way an order goes.")
class OrderDirection(Enum):
    ASC = strawberry.enum_value("ASC", description="The least or oldest first.")
    DESC = strawberry.enum_value("DESC", description="The most or newest first.")


@strawberry.input(description="How scans are ordered; equal ones by when they were pushed.")
class ScanOrder:
    by: ScanOrderField = strawberry.field(default=ScanOrderField.DATE, description="By what.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.DESC, description="Which way.")

    @property
    def key(self) -> tuple[str, bool]:
        """By what, and whether descending."""
        return self.by.name, self.direction is OrderDirection.DESC


def _rank(least: Severity | None) -> int | None:
    return None if least is None else least.rank


@strawberry.input(description="Which scans: those that fit everything that is given.")
class ScanFilter:
    tool: str | None = strawberry.field(default=None, description="The name of the tool, whole.")
    status: ScanStatus | None = strawberry.field(default=None, description="How it ended.")
    severity_at_least: Severity | None = strawberry.field(
        default=None, description="With a finding, not suppressed, that is at least so bad."
    )
    target: str | None = strawberry.field(default=None, description="What was scanned, whole.")
    since: datetime | None = strawberry.field(default=None, description="Pushed at this moment or later.")
    until: datetime | None = strawberry.field(default=None, description="Pushed before this moment.")
    text: str | None = strawberry.field(
        default=None, description="In the tool's name or the target, in any case; 1 to 100 characters."
    )

    def wanted(self) -> queries.scans.ScansWanted:
        """What is wanted, for the statement."""
        return queries.scans.ScansWanted(
            tool=self.tool,
            status=self.status,
            severity_rank=_rank(self.severity_at_least),
            target=self.target,
            since=self.since,
            until=self.until,
            text=self.text,
        )

    def find_faults(self, faults: Faults) -> None:
        """Add every fault of this filter."""
        for name, longest in (("tool", MAX_TOOL), ("target", MAX_TARGET), ("text", 100)):
            value = getattr(self, name)
            if value is not None:
                faults.unless(1 <= len(value) <= longest, f"filter.{name}", f"1 to {longest} characters.")
        if self.since is not None and self.until is not None:
            faults.unless(self.since < self.until, "filter.until", "Later than since.")


@strawberry.input(description="Which findings: those that fit everything that is given.")
class FindingFilter:
    severity_at_least: Severity | None = strawberry.field(default=None, description="At least so bad.")
    suppressed: bool | None = strawberry.field(default=None, description="Only those, or none, that are suppressed.")

    def wanted(self) -> queries.scans.FindingsWanted:
        """What is wanted, for the statement."""
        return queries.scans.FindingsWanted(severity_rank=_rank(self.severity_at_least), suppressed=self.suppressed)


@strawberry.input(description="One thing that a tool found.")
class FindingInput:
    severity: Severity = strawberry.field(description="How bad it is.")
    message: str = strawberry.field(description="What was found: 1 to 4000 characters.")
    rule_id: str | None = strawberry.field(default=None, description="The tool's name of the rule.")
    rule_name: str | None = strawberry.field(default=None, description="What the tool calls the rule, for people.")
    path: str | None = strawberry.field(default=None, description="The file it was found in.")
    start_line: int | None = strawberry.field(default=None, description="Where it begins; lines count from 1.")
    start_column: int | None = strawberry.field(default=None, description="Where in that line, from 1.")
    end_line: int | None = strawberry.field(default=None, description="The line where it ends.")
    end_column: int | None = strawberry.field(default=None, description="The column after its end.")
    score: Decimal | None = strawberry.field(default=None, description="From 0.0 to 10.0, as CVSS has it.")
    fingerprint: str | None = strawberry.field(default=None, description="What the tool knows it by in other scans.")
    help_url: str | None = strawberry.field(default=None, description="Where the tool explains the rule: http(s).")
    suppressed: bool = strawberry.field(default=False, description="Whether it is to count or not.")

    def find_faults(self, faults: Faults, at: str) -> None:
        """Add every fault of this finding, which is at that place of its input."""
        for name, longest in _INPUT_LIMITS.items():
            value = getattr(self, name)
            if value is not None:
                check_lines(faults, f"{at}.{name}", value, longest=longest)
        faults.unless(bool(self.message.strip()), f"input.{at}.message", "Not empty.")
        for name in _PLACES:
            value = getattr(self, name)
            faults.unless(value is None or value >= 1, f"input.{at}.{to_camel_case(name)}", "1 or more.")
        faults.unless(self.score is None or 0 <= self.score <= 10, f"input.{at}.score", "0 to 10.")
        if self.help_url is not None:
            faults.unless(
                _is_web(self.help_url), f"input.{at}.helpUrl", "An address that begins with https:// or http://."
            )


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


@strawberry.input(
    description="A report, as a scanner wrote it, or a scan told field by field. `target` and `metadata` go with both."
)
class CreateScanInput(MutationInput):
    report: str | None = strawberry.field(
        default=None,
        description="The text of a file: SARIF 2.1.0, or Gatehouse's own JSON. Each run in it becomes a scan; the same "
        "report again leads to the same scans.",
    )
    tool: str | None = strawberry.field(
        default=None, description="Without a report: the name of the tool, 1 to 100 characters."
    )
    tool_version: str | None = strawberry.field(default=None, description="Without a report: its version.")
    target: str | None = strawberry.field(
        default=None, description="What was scanned, such as a repository: 1 to 500 characters."
    )
    status: ScanStatus | None = strawberry.field(default=None, description="Without a report: COMPLETE if left out.")
    started_at: datetime | None = strawberry.field(default=None, description="Without a report: when it began.")
    finished_at: datetime | None = strawberry.field(default=None, description="Without a report: when it ended.")
    findings: list[FindingInput] | None = strawberry.field(
        default=None, description="Without a report: what was found, at most 1000."
    )
    metadata: JSON | None = strawberry.field(
        default=None,
        description="What else there is to say, such as the commit: an object of at most 16 KiB, 10 levels deep.",
    )
    again: bool = strawberry.field(
        default=False, description="Make new scans of a report although it was pushed before."
    )

    def check_fields(self, faults: Faults) -> None:
        if self.report is None:
            faults.unless(self.tool is not None, "input.report", "Needed: a report, or a tool and what it found.")
            self._check_told(faults)
        else:
            for name in ("tool", "tool_version", "status", "started_at", "finished_at", "findings"):
                if getattr(self, name) is not None:
                    faults.add(f"input.{to_camel_case(name)}", "Left out where there is a report, which says it.")
            faults.unless(bool(self.report.strip()), "input.report", "Not empty.")
        if self.target is not None:
            check_text(faults, "target", self.target, longest=MAX_TARGET)
        if self.metadata is not None:
            fits = strict_json.fits(self.metadata, levels=10, most=MAX_METADATA)
            faults.unless(
                fits, "input.metadata", "An object of at most 16 KiB, 10 levels deep, with numbers up to 2^53."
            )

    def _check_told(self, faults: Faults) -> None:
        for name, value in (("tool", self.tool), ("tool_version", self.tool_version)):
            if value is not None:
                check_text(faults, name, value, longest=MAX_TOOL)
        latest = clock.now() + AHEAD
        for name, moment in (("startedAt", self.started_at), ("finishedAt", self.finished_at)):
            faults.unless(moment is None or moment <= latest, f"input.{name}", "Not in the future.")
        if self.started_at is not None and self.finished_at is not None:
            faults.unless(self.started_at <= self.finished_at, "input.finishedAt", "Not before startedAt.")
        found = self.findings or []
        faults.unless(len(found) <= MAX_FINDINGS, "input.findings", f"At most {MAX_FINDINGS}; send more as a report.")
        for place, finding in enumerate(found[:MAX_FINDINGS]):
            finding.find_faults(faults, f"findings[{place}]")

    @property
    def said(self) -> dict[str, Any]:
        """What a checked input says of all its scans."""
        return {"target": (self.target and self.target.strip()) or None, "metadata": self.metadata or None}

    @property
    def told(self) -> dict[str, Any]:
        """Of a checked input without a report: the scan that it tells, without its findings."""
        return {
            "tool": (self.tool or "").strip(),
            "tool_version": self.tool_version,
            "status": self.status or ScanStatus.COMPLETE,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            **self.said,
        }


@strawberry.input(description="Which scan to delete, with its findings.")
class DeleteScanInput(MutationInput):
    id: strawberry.ID = strawberry.field(description="The global id of a scan of yours.")

    def check_fields(self, faults: Faults) -> None:
        faults.unless(ids.decode(self.id) is not None, "input.id", "Not an id of this API.")

    @property
    def scan_id(self) -> UUID:
        """The scan that is meant; `NotFound` for the id of something else."""
        return ids.key_of("Scan", self.id)
