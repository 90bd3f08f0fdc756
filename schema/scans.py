"""Scans and findings as clients see them, and the payloads of their mutations. Inputs are in scans_inputs."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from db import queries
from db.models import ScanStatus, Severity
from db.queries.paging import Listing
from db.session import Row
from engine import sql
from errors import collect_faults
from schema import ids
from schema.context import Info
from schema.entitlements import QuotaPayload
from schema.node import Node
from schema.pagination import After, Before, Connection, First, Last, Page, connect
from schema.payloads import Payload
from schema.scalars import BigInt
from schema.scans_inputs import FindingFilter, ScanFilter, ScanOrder

MAX_RUNS = 100
"""Scans in one report."""


@strawberry.type(description="One thing that a tool found.")
class Finding(Node):
    severity: Severity = strawberry.field(description="How bad it is.")
    rule_id: str | None = strawberry.field(description="The tool's name of the rule, such as B602.")
    rule_name: str | None = strawberry.field(description="What the tool calls the rule, for people.")
    message: str = strawberry.field(description="What was found: plain text, to be shown as such.")
    path: str | None = strawberry.field(description="The file it was found in, as the tool names it.")
    start_line: int | None = strawberry.field(description="Where it begins; lines count from 1.")
    start_column: int | None = strawberry.field(description="Where in that line; columns count from 1.")
    end_line: int | None = strawberry.field(description="The line where it ends.")
    end_column: int | None = strawberry.field(description="The column after its end.")
    score: Decimal | None = strawberry.field(description="From 0.0 to 10.0, as CVSS has it, where the tool tells it.")
    fingerprint: str | None = strawberry.field(description="What the tool knows it by in other scans.")
    help_url: str | None = strawberry.field(description="Where the tool explains the rule.")
    suppressed: bool = strawberry.field(description="Whether somebody has decided to live with it: it does not count.")


@strawberry.type(description="How many findings there are, those that are suppressed left out.")
class FindingCounts:
    critical: int = strawberry.field(description="Critical ones.")
    high: int = strawberry.field(description="High ones.")
    medium: int = strawberry.field(description="Medium ones.")
    low: int = strawberry.field(description="Low ones.")
    info: int = strawberry.field(description="Those that only inform.")
    suppressed: int = strawberry.field(description="Those that are suppressed.")

    total: int = strawberry.field(description="All that are not suppressed.")


def _findings(*page: Any, filter: FindingFilter | None = None, **named: Any) -> Listing:
    return Page(*page, **named).of(queries.scans.FINDINGS_OF_SCAN, filter.wanted() if filter else None)


@strawberry.type(description="One run of a scanner, as it was pushed.")
class Scan(Node):
    tool: str = strawberry.field(description="The name of the tool, such as bandit.")
    tool_version: str | None = strawberry.field(description="Its version, if it says so.")
    target: str | None = strawberry.field(description="What was scanned, such as a repository.")
    status: ScanStatus = strawberry.field(description="How it ended.")
    started_at: datetime | None = strawberry.field(description="When it began, if the tool says so.")
    finished_at: datetime | None = strawberry.field(description="When it ended, if the tool says so.")
    duration_ms: BigInt | None = strawberry.field(description="How long it took, in milliseconds, if known.")
    severity: Severity | None = strawberry.field(description="Of its worst finding that is not suppressed.")
    metadata: JSON | None = strawberry.field(description="What else the sender or the file says: an object.")
    created_at: datetime = strawberry.field(description="When it was pushed.")
    critical: strawberry.Private[int]
    high: strawberry.Private[int]
    medium: strawberry.Private[int]
    low: strawberry.Private[int]
    info: strawberry.Private[int]
    suppressed: strawberry.Private[int]
    total: strawberry.Private[int]

    @strawberry.field(metadata={sql.EMBEDDED: True}, description="How many findings it has, by severity.")
    def finding_counts(self) -> FindingCounts:
        return FindingCounts(
            critical=self.critical,
            high=self.high,
            medium=self.medium,
            low=self.low,
            info=self.info,
            suppressed=self.suppressed,
            total=self.total,
        )

    @strawberry.field(
        metadata={sql.LISTING: _findings},
        description="What it found, the worst first, then in the order of the report.",
    )
    def findings(
        self,
        *,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: FindingFilter | None = None,
    ) -> Connection[Finding]:
        return connect(Finding, _findings(first, after, last, before, filter=filter), self.pk)


def scans_page(
    *page: Any, filter: ScanFilter | None = None, order_by: ScanOrder | None = None, **named: Any
) -> Listing:
    """A page of a user's scans."""
    with collect_faults() as faults:
        if filter is not None:
            filter.find_faults(faults)
    relation = queries.scans.SCANS_OF_USER[(order_by or ScanOrder()).key]
    return Page(*page, **named).of(relation, filter.wanted() if filter else None)


@strawberry.type(description="The scans of a report, or the one that was sent.")
class CreateScanPayload(QuotaPayload):
    transient = frozenset({"new"})

    scan_ids: strawberry.Private[list[str]]
    new: strawberry.Private[Mapping[str, Row] | None]
    created: int = strawberry.field(
        description="How many of them are new; the others were there already, from the same report."
    )

    @strawberry.field(description="The first of them, mostly the only one; null for a retry after it was deleted.")
    def scan(self, info: Info) -> Scan | None:
        row = self.new.get(self.scan_ids[0]) if self.new else None
        # Awaited by whoever executes; the signature of a field cannot say that it may be.
        return Scan.from_row(row) if row is not None else cast("Scan", self._first(info))

    @strawberry.field(
        metadata={"at_most": MAX_RUNS},
        description="All of them, in the order of the report; null for those that were deleted since.",
    )
    async def scans(self, info: Info) -> list[Scan | None]:
        return await self._scans(info, self.scan_ids)

    async def _first(self, info: Info) -> Scan | None:
        return (await self._scans(info, self.scan_ids[:1]))[0]

    async def _scans(self, info: Info, wanted: list[str]) -> list[Scan | None]:
        owner = await info.context.caller.user_id()
        rows = dict(self.new or {})
        others = [UUID(key) for key in wanted if key not in rows]
        if others:
            rows |= {str(row.id): row for row in await info.context.read.rows(queries.scans.scans(owner, others))}
        return [Scan.from_row(rows[key]) if key in rows else None for key in wanted]


@strawberry.type(description="The scan that is no more.")
class DeleteScanPayload(Payload):
    scan_id: strawberry.Private[UUID]

    @strawberry.field(description="The global id it had.")
    def deleted_id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(Scan.__name__, self.scan_id))
