"""Statements of scans and their findings."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Table, delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from db.models import Finding, Scan
from db.queries.bulk import insert_children
from db.queries.relation import Bind, Relation, Wanted
from db.queries.usage import Terms, paid, spend_at_once
from db.session import Bound, Row, Session
from db.statements import Prepared, among, given

_SPECIAL, _ESCAPED = re.compile(r"[\\%_]"), r"\\\g<0>"
"""What means something in a pattern of LIKE, and what it is written as to mean itself."""
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
    (Scan.critical + Scan.high + Scan.medium + Scan.low + Scan.info).label("total"),
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
class ScansWanted(Wanted):
    """Which scans of a list are wanted.

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

    @classmethod
    def conditions(cls, names: Collection[str], bind: Bind) -> Sequence[ColumnElement[bool]]:
        text = bind("text")
        all_of_them = {
            "tool": Scan.tool == bind("tool"),
            "status": Scan.status == bind("status"),
            "severity_rank": Scan.severity_rank >= bind("severity_rank"),
            "target": Scan.target == bind("target"),
            "since": Scan.created_at >= bind("since"),
            "until": Scan.created_at < bind("until"),
            "text": or_(Scan.tool.ilike(text), Scan.target.ilike(text)),
        }
        return [all_of_them[name] for name in names]

    def values(self) -> dict[str, Any]:
        found = Wanted.values(self)
        return found if self.text is None else {**found, "text": f"%{_SPECIAL.sub(_ESCAPED, self.text)}%"}


@dataclass(frozen=True, slots=True)
class FindingsWanted(Wanted):
    """Which findings of a scan are wanted."""

    severity_rank: int | None = None
    suppressed: bool | None = None

    @classmethod
    def conditions(cls, names: Collection[str], bind: Bind) -> Sequence[ColumnElement[bool]]:
        all_of_them = {
            "severity_rank": Finding.severity_rank >= bind("severity_rank"),
            "suppressed": Finding.suppressed == bind("suppressed"),
        }
        return [all_of_them[name] for name in names]


_STORED = [column.key for column in _SCANS.columns if column.computed is None]
_ADD = Prepared(
    insert(_SCANS)
    .on_conflict_do_nothing(index_elements=[Scan.user_id, Scan.digest], index_where=Scan.digest.is_not(None))
    .returning(*_SCAN),
    _STORED,
)
_ADD_PAID = paid(_SCANS, _STORED, *_SCAN)
_OWN = Prepared(select(*_SCAN).where(Scan.user_id == given("user_id"), Scan.id == among("ids")))
_OWN_FINDINGS = Prepared(
    select(*_FINDING)
    .join(Scan, Scan.id == Finding.scan_id)
    .where(Scan.user_id == given("user_id"), Finding.id == among("ids"))
)


def scans(user_id: UUID, scan_ids: Collection[UUID]) -> Bound:
    """Those of these scans that are this user's, in no order."""
    return _OWN(user_id=user_id, ids=list(scan_ids))


def findings(user_id: UUID, finding_ids: Collection[UUID]) -> Bound:
    """Those of these findings that are of a scan of this user, in no order."""
    return _OWN_FINDINGS(user_id=user_id, ids=list(finding_ids))


async def add(session: Session, values: Mapping[str, Any]) -> Row | None:
    """Insert a scan; None, and nothing written, where this user has one with the same digest.

    `values` are those of all columns that Postgres does not compute. A scan that another transaction is inserting is
    waited for.
    """
    return await session.row(_ADD(**values))


async def add_paid(session: Session, values: Mapping[str, Any], feature: str, terms: Terms) -> Row | None:
    """Pay for a scan without a digest and insert it, in one statement; None, and nothing written, beyond the limit.

    Beside the scan the row has the `balance` of the counter.
    """
    return await spend_at_once(session, _ADD_PAID, values, feature, terms)


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
