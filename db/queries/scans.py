"""Statements of scans and their findings."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from db.models import Finding, Scan
from db.queries.bulk import insert_children
from db.queries.relation import Relation
from db.session import Read, Session

_SCANS = cast("Table", Scan.__table__)

_SCAN = (
    Scan.id,
    Scan.user_id,
    Scan.tool,
    Scan.tool_version,
    Scan.target,
    Scan.status,
    Scan.started_at,
    Scan.finished_at,
    Scan.duration_ms,
    Scan.duration_rank,
    Scan.severity,
    Scan.severity_rank,
    Scan.critical,
    Scan.high,
    Scan.medium,
    Scan.low,
    Scan.info,
    Scan.suppressed,
    Scan.details.label("metadata"),
    Scan.created_at,
)
_REPORTED = (
    Finding.id,
    Finding.severity,
    Finding.rule_id,
    Finding.rule_name,
    Finding.message,
    Finding.path,
    Finding.start_line,
    Finding.start_column,
    Finding.end_line,
    Finding.end_column,
    Finding.score,
    Finding.fingerprint,
    Finding.help_url,
    Finding.suppressed,
)
_FINDING = (*_REPORTED, Finding.scan_id, Finding.severity_rank)

ORDERS = {
    "DATE": Scan.created_at,
    "SEVERITY": Scan.severity_rank,
    "DURATION": Scan.duration_rank,
}
"""What scans can be ordered by. Those without a duration come after those with the shortest."""

SCANS_OF_USER = {
    (by, descending): Relation(
        children=select(*_SCAN),
        key=Scan.user_id,
        order_by=(column.desc(), Scan.id.desc()) if descending else (column, Scan.id),
    )
    for by, column in ORDERS.items()
    for descending in (True, False)
}
"""By what, and whether descending; each along an index of its own."""
FINDINGS_OF_SCAN = Relation(
    children=select(*_FINDING), key=Finding.scan_id, order_by=(Finding.severity_rank.desc(), Finding.id)
)


@dataclass(frozen=True, slots=True)
class ScansWanted:
    """Which scans of a list are wanted: those that fit everything that is not None.

    `tool` and `target` are whole, `text` is in one of them in any case. `severity_rank` is the least. `since` is
    included, `until` is not.
    """

    tool: str | None = None
    status: str | None = None
    severity_rank: int | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        for column, value in ((Scan.tool, self.tool), (Scan.status, self.status), (Scan.target, self.target)):
            if value is not None:
                found.append(column == value)
        if self.severity_rank is not None:
            found.append(Scan.severity_rank >= self.severity_rank)
        if self.since is not None:
            found.append(Scan.created_at >= self.since)
        if self.until is not None:
            found.append(Scan.created_at < self.until)
        if self.text is not None:
            within = (column.icontains(self.text, autoescape=True) for column in (Scan.tool, Scan.target))
            found.append(or_(*within))
        return found


@dataclass(frozen=True, slots=True)
class FindingsWanted:
    """Which findings of a scan are wanted, as `ScansWanted` has it."""

    severity_rank: int | None = None
    suppressed: bool | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.severity_rank is not None:
            found.append(Finding.severity_rank >= self.severity_rank)
        if self.suppressed is not None:
            found.append(Finding.suppressed.is_(self.suppressed))
        return found


def scans(user_id: UUID, scan_ids: Collection[UUID]) -> Read:
    """Those of these scans that are this user's, in no order."""
    return _own(select(*_SCAN), user_id).where(Scan.id.in_(scan_ids))


def findings(user_id: UUID, finding_ids: Collection[UUID]) -> Read:
    """Those of these findings that are of a scan of this user, in no order."""
    statement = select(*_FINDING).join(Scan, Scan.id == Finding.scan_id)
    return _own(statement, user_id).where(Finding.id.in_(finding_ids))


def _own(statement: Select[*tuple[Any, ...]], user_id: UUID) -> Read:
    return statement.where(Scan.user_id == user_id)


async def add(session: Session, values: Mapping[str, Any]) -> bool:
    """Insert a scan; False, and nothing written, where this user has one with the same digest.

    One that another transaction is inserting is waited for.
    """
    once = insert(_SCANS).on_conflict_do_nothing(
        index_elements=[Scan.user_id, Scan.digest], index_where=Scan.digest.is_not(None)
    )
    return await session.scalar(once.returning(_SCANS.c.id), dict(values)) is not None


async def by_digests(session: Session, user_id: UUID, digests: Collection[bytes]) -> dict[bytes, UUID]:
    """The scans of this user that have these digests."""
    statement = select(Scan.digest, Scan.id).where(Scan.user_id == user_id, Scan.digest.in_(digests))
    return {digest: scan_id for digest, scan_id in await session.execute(statement) if digest is not None}


async def add_findings(session: Session, scan_id: UUID, ids: Sequence[UUID], rows: Sequence[Sequence[Any]]) -> None:
    """Insert the findings of a scan, each with the values of `domain.scans_results.NewFinding`, in one statement."""
    await insert_children(
        session, Finding.scan_id, scan_id, _REPORTED, [(key, *row) for key, row in zip(ids, rows, strict=True)]
    )


async def delete_scan(session: Session, user_id: UUID, scan_id: UUID) -> bool:
    """Remove a scan of this user with its findings; False when there is none."""
    gone = delete(Scan).where(Scan.user_id == user_id, Scan.id == scan_id).returning(Scan.id)
    return await session.scalar(gone.execution_options(synchronize_session=False)) is not None
