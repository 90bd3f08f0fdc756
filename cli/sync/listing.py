"""`gatehouse sync list`: scans that were pushed, filtered and in order, page by page."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

import clock
from cli.arguments import duration, moment
from cli.output import show, shown
from cli.sync import profiles
from cli.sync.answers import Answer
from cli.sync.client import Client
from cli.sync.failures import dumped, reporting, say
from cli.sync.options import AsJson, Insecure, ProfileName, Severity, Url
from cli.sync.scans import FIELDS, Scan

_PAGE = 100
_LIST = (
    "query($first: Int, $after: String, $filter: ScanFilter, $orderBy: ScanOrder) "
    "{ scans(first: $first, after: $after, filter: $filter, orderBy: $orderBy) "
    f"{{ totalCount pageInfo {{ hasNextPage endCursor }} edges {{ node {{ {FIELDS} }} }} }} }}"
)


class Status(StrEnum):
    COMPLETE = "complete"
    FAILED = "failed"


class Order(StrEnum):
    DATE = "date"
    SEVERITY = "severity"
    DURATION = "duration"


class _Edge(Answer):
    node: Scan


class _PageInfo(Answer):
    has_next_page: bool
    end_cursor: str | None


class _Connection(Answer):
    total_count: int
    page_info: _PageInfo
    edges: list[_Edge]


class _Page(Answer):
    scans: _Connection


def list_scans(
    *,
    tool: Annotated[str | None, typer.Option(help="Only of this tool.")] = None,
    status: Annotated[Status | None, typer.Option(case_sensitive=False, help="Only those that ended so.")] = None,
    severity: Annotated[
        Severity | None, typer.Option(case_sensitive=False, help="Only with a finding at least so bad.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Only of this target.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="2026-11-20, 2026-11-20T14:05, or 7d ago.")] = None,
    text: Annotated[str | None, typer.Option(help="In the tool's name or the target.")] = None,
    order: Annotated[
        Order, typer.Option(case_sensitive=False, help="The newest, the worst or the longest first.")
    ] = Order.DATE,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
    profile: ProfileName = None,
    url: Url = None,
    insecure_http: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """List scans."""
    with reporting(as_json=as_json):
        wanted = {
            "tool": tool,
            "status": status and status.upper(),
            "severityAtLeast": severity and severity.upper(),
            "target": target,
            "since": since and _moment(since).isoformat(),
            "text": text,
        }
        asked = {"filter": wanted, "orderBy": {"by": order.upper()}}
        with Client(profiles.connection(profile, url, insecure_http=insecure_http)) as client:
            scans, total = _pages(client, asked, limit)
        if as_json:
            typer.echo(dumped({"scans": [scan.shown() for scan in scans], "totalCount": total}))
            return
        show(("pushed", "tool", "target", "status", "findings", "took"), [_row(scan) for scan in scans])
        if total > len(scans):
            say(f"{len(scans)} of {total}; more with --limit.")


def _moment(text: str) -> datetime:
    """A date, a time, or how long ago."""
    if re.fullmatch(r"[0-9]+[smhd]", text):
        return clock.now() - duration(text)
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:
        raise typer.BadParameter("write 2026-11-20, 2026-11-20T14:05Z or 7d.", param_hint="--since") from None


def _pages(client: Client, asked: dict[str, Any], limit: int) -> tuple[list[Scan], int]:
    """Up to `limit` scans, and how many there are."""
    found: list[Scan] = []
    total, after, more = 0, None, True
    # A server that promises more and brings none would be asked for ever.
    for _ in range(limit):
        if not more:
            break
        first = min(_PAGE, limit - len(found))
        page = client.ask(_LIST, _Page, {**asked, "first": first, "after": after}).scans
        found += [edge.node for edge in page.edges]
        total, after = page.total_count, page.page_info.end_cursor
        more = page.page_info.has_next_page and bool(page.edges) and len(found) < limit
    return found, total


def _row(scan: Scan) -> tuple[object, ...]:
    took = f"{scan.duration_ms / 1000:.1f} s" if scan.duration_ms is not None else None
    return (shown(scan.created_at), scan.tool, scan.target, scan.status.lower(), scan.finding_counts, took)
