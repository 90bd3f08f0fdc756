"""Scans as the API tells them, and as a command shows them. Which are asked for is for the commands."""

from collections.abc import Sequence
from typing import Any

from cli.output import plain
from cli.sync.answers import Answer, Moment
from cli.sync.options import Severity

FIELDS = (
    "id tool toolVersion target status severity startedAt finishedAt durationMs createdAt metadata "
    "findingCounts { critical high medium low info suppressed total }"
)


class FindingCounts(Answer):
    critical: int
    high: int
    medium: int
    low: int
    info: int
    suppressed: int
    total: int

    def at_least(self, severity: Severity) -> int:
        """How many, not suppressed, are at least so bad."""
        ranks = list(Severity)
        return sum(getattr(self, one.value) for one in ranks[: ranks.index(severity) + 1])

    def __str__(self) -> str:
        some = [f"{number} {one.value}" for one in Severity if (number := getattr(self, one.value))]
        return ", ".join([*(some or ["no findings"]), *([f"{self.suppressed} suppressed"] if self.suppressed else [])])


class Scan(Answer):
    id: str
    tool: str
    tool_version: str | None
    target: str | None
    status: str
    severity: str | None
    started_at: Moment | None
    finished_at: Moment | None
    duration_ms: int | None
    created_at: Moment
    metadata: dict[str, Any] | None
    finding_counts: FindingCounts

    def line(self, *, new: bool) -> str:
        """For people, of a scan that was pushed."""
        on = f" on {self.target}" if self.target else ""
        broken = "; the tool did not run to its end" if self.status != "COMPLETE" else ""
        return plain(f"{self.tool}{on}: {self.finding_counts}; {'new' if new else 'already there'}{broken}")


def which_are_new(scans: Sequence[Scan | None], created: int) -> list[bool]:
    """Of each scan of a push whether it is new: the newest are, for all of one push begin at the same moment."""
    there = [(scan.created_at, place) for place, scan in enumerate(scans) if scan is not None]
    newest = {place for _, place in sorted(there, reverse=True)[:created]}
    return [place in newest for place in range(len(scans))]
