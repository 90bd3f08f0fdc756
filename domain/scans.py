"""Scans: storing what scanners report, each paid for, a file once; and deleting. How a file is read is not here."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson

import clock
import errors
from db import queries
from db.models import Severity, new_id
from db.queries.usage import Terms
from db.session import Row, Session
from domain import usage
from domain.actor import Actor
from domain.decisions import Quota
from domain.plans import Plans
from domain.scans_results import NewFinding, NewScan

_MILLISECOND = timedelta(milliseconds=1)
_COUNTS = {severity: severity.lower() for severity in Severity}
"""The columns that count the findings of a severity, the worst first."""
_NOTHING_FOUND: Mapping[str, Any] = {**dict.fromkeys(_COUNTS.values(), 0), "severity": None, "suppressed": 0}


class Created(NamedTuple):
    """The scans in the order they were given, those of them that are new, and what is left of the quota."""

    ids: list[UUID]
    new: Mapping[UUID, Row]
    quota: Quota


def told_apart(scans: Sequence[NewScan], *, target: str | None, metadata: Mapping[str, Any] | None) -> list[NewScan]:
    """The runs of a file with what their sender says of them, which goes before what the file says."""
    return [
        scan._replace(
            target=target or scan.target,
            metadata={**(scan.metadata or {}), **(metadata or {})} or None,
        )
        for scan in scans
    ]


def digests(report: str, scans: Sequence[NewScan]) -> list[bytes]:
    """For each run of a report what tells it from all others: the text, its place, and what was said of it."""
    text = hashlib.sha256(report.encode()).digest()
    return [
        hashlib.sha256(
            orjson.dumps([text.hex(), place, scan.target, scan.metadata], option=orjson.OPT_SORT_KEYS)
        ).digest()
        for place, scan in enumerate(scans)
    ]


def is_one_statement(scans: Sequence[NewScan], digests: Sequence[bytes | None]) -> bool:
    """Whether `create` writes in one statement: a scan without findings that no other can be the same as."""
    return len(scans) == 1 and digests[0] is None and not scans[0].findings


async def create(
    session: Session, plans: Plans, actor: Actor, scans: Sequence[NewScan], digests: Sequence[bytes | None]
) -> Created:
    """Store scans with their findings, and pay for each; one whose digest is there already is that scan again."""
    if is_one_statement(scans, digests):
        return await _create_one(session, plans, actor, scans[0])
    now = clock.now()
    given = list(zip(scans, digests, strict=True))
    known = {digest for digest in digests if digest is not None}
    made: dict[int, Row] = {}
    # In the order of the digests: two that insert the same ones wait for each other, and never both. What is paid is
    # paid after that, since whoever pays holds the account's counter until the end.
    for place, (scan, digest) in sorted(enumerate(given), key=lambda one: one[1][1] or b""):
        row = await queries.scans.add(session, _row(scan, new_id(), actor.user_id, digest, now))
        if row is not None:
            made[place] = row
    quota = None
    for place in sorted(made):
        scan_id, findings = made[place].id, given[place][0].findings
        quota = await usage.spend(session, plans, actor, "scans", scan_id)
        if findings:
            await queries.scans.add_findings(session, scan_id, [new_id() for _ in findings], findings)
    if quota is None:
        quota = await usage.nothing_to_spend(session, plans, actor, "scans")
    there = await queries.scans.by_digests(session, actor.user_id, known) if len(made) < len(given) else {}
    ids = [made[place].id if place in made else _found(there, digest) for place, (_, digest) in enumerate(given)]
    return Created(ids, {row.id: row for row in made.values()}, quota)


async def _create_one(session: Session, plans: Plans, actor: Actor, scan: NewScan) -> Created:
    values = _row(scan, new_id(), actor.user_id, None, clock.now())
    made: list[Row] = []

    async def pay(terms: Terms) -> int | None:
        row = await queries.scans.add_paid(session, values, "scans", terms)
        if row is None:
            return None
        made.append(row)
        return int(row.balance)

    quota = await usage.spend(session, plans, actor, "scans", values["id"], pay=pay)
    return Created([made[0].id], {made[0].id: made[0]}, quota)


def _found(there: Mapping[bytes, UUID], digest: bytes | None) -> UUID:
    if digest is None or digest not in there:
        raise errors.Conflict("The same report was deleted at this very moment. Send it again.")
    return there[digest]


async def delete(session: Session, actor: Actor, scan_id: UUID) -> None:
    """Remove a scan with its findings. What was used stays used: it counts what was done."""
    if not await queries.scans.delete_scan(session, actor.user_id, scan_id):
        raise errors.NotFound("You have no such scan.")


def _row(scan: NewScan, scan_id: UUID, user_id: UUID, digest: bytes | None, now: datetime) -> dict[str, Any]:
    lasted = None
    if scan.started_at is not None and scan.finished_at is not None:
        lasted = (scan.finished_at - scan.started_at) // _MILLISECOND
    return {
        "id": scan_id,
        "user_id": user_id,
        "tool": scan.tool,
        "tool_version": scan.tool_version,
        "target": scan.target,
        "status": scan.status,
        "started_at": scan.started_at,
        "finished_at": scan.finished_at,
        "duration_ms": lasted,
        **(_counts(scan.findings) if scan.findings else _NOTHING_FOUND),
        "metadata": scan.metadata,
        "digest": digest,
        "created_at": now,
    }


def _counts(findings: Sequence[NewFinding]) -> dict[str, Any]:
    """How many there are of each severity, which is the worst, and how many are not to count."""
    counts = Counter(found.severity for found in findings if not found.suppressed)
    worst = next((severity for severity in _COUNTS if counts[severity]), None)
    counted = {column: counts[severity] for severity, column in _COUNTS.items()}
    return {**counted, "severity": worst, "suppressed": len(findings) - counts.total()}
