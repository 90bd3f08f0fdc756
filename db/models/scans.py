"""Tables of scans and their findings. What counts as how severe is decided where a report is read."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Computed, ForeignKey, Index, Numeric, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId

MAX_TOOL = 100
MAX_TARGET = 500
MAX_RULE = 200
MAX_MESSAGE = 4_000
MAX_PATH = 1_000
"""Characters, of these and of what is like them."""


class Severity(StrEnum):
    """The worst first."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    INFO = "INFO"

    @property
    def rank(self) -> int:
        """5 for the worst, down to 1; what has no severity has 0."""
        return len(Severity) - list(Severity).index(self)


class ScanStatus(StrEnum):
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


_SEVERITIES = "('CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO')"
# Kept beside the word, since an order needs numbers that are never null.
_RANK = (
    "case severity when 'CRITICAL' then 5 when 'HIGH' then 4 when 'MEDIUM' then 3 when 'LOW' then 2"
    " when 'INFO' then 1 else 0 end"
)


class Scan(HasId, Base):
    """One run of a tool. Counts are of its findings that are not suppressed; `severity` is the worst of these.

    `digest` is that of the run in its file, while this is the scan that the same file leads to again.
    """

    __tablename__ = "scans"
    __table_args__ = (
        CheckConstraint(f"char_length(tool) between 1 and {MAX_TOOL}", name="tool_length"),
        CheckConstraint(f"char_length(tool_version) <= {MAX_TOOL}", name="tool_version_length"),
        CheckConstraint(f"char_length(target) between 1 and {MAX_TARGET}", name="target_length"),
        CheckConstraint("status in ('COMPLETE', 'FAILED')", name="status"),
        CheckConstraint(f"severity in {_SEVERITIES}", name="severity"),
        CheckConstraint("finished_at >= started_at", name="finished"),
        CheckConstraint("least(critical, high, medium, low, info, suppressed) >= 0", name="counts"),
        CheckConstraint("octet_length(digest) = 32", name="digest"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    tool: Mapped[str]
    tool_version: Mapped[str | None]
    target: Mapped[str | None]
    status: Mapped[str]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    duration_rank: Mapped[int] = mapped_column(BigInteger, Computed("coalesce(duration_ms, -1)", persisted=True))
    severity: Mapped[str | None]
    severity_rank: Mapped[int] = mapped_column(SmallInteger, Computed(_RANK, persisted=True))
    critical: Mapped[int]
    high: Mapped[int]
    medium: Mapped[int]
    low: Mapped[int]
    info: Mapped[int]
    suppressed: Mapped[int]
    details: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB(none_as_null=True))
    digest: Mapped[bytes | None]
    created_at: Mapped[datetime]


# One for each order there is, so that a page deep in a long list costs what the first one does.
Index("ix_scans_user_id_created_at_id", Scan.user_id, Scan.created_at, Scan.id)
Index("ix_scans_user_id_severity_rank_id", Scan.user_id, Scan.severity_rank, Scan.id)
Index("ix_scans_user_id_duration_rank_id", Scan.user_id, Scan.duration_rank, Scan.id)
Index("ix_scans_user_id_digest", Scan.user_id, Scan.digest, unique=True, postgresql_where=Scan.digest.is_not(None))


class Finding(HasId, Base):
    """One thing that a tool found. Lines and columns count from 1; `score` is a CVSS-like number from 0 to 10."""

    __tablename__ = "findings"
    __table_args__ = (
        CheckConstraint(f"severity in {_SEVERITIES}", name="severity"),
        CheckConstraint("score between 0 and 10", name="score"),
        CheckConstraint(f"char_length(message) <= {MAX_MESSAGE}", name="message_length"),
        CheckConstraint("least(start_line, start_column, end_line, end_column) >= 1", name="place"),
    )

    scan_id: Mapped[UUID] = mapped_column(ForeignKey("scans.id", ondelete="CASCADE"))
    severity: Mapped[str]
    severity_rank: Mapped[int] = mapped_column(SmallInteger, Computed(_RANK, persisted=True))
    rule_id: Mapped[str | None]
    rule_name: Mapped[str | None]
    message: Mapped[str]
    path: Mapped[str | None]
    start_line: Mapped[int | None]
    start_column: Mapped[int | None]
    end_line: Mapped[int | None]
    end_column: Mapped[int | None]
    score: Mapped[Decimal | None] = mapped_column(Numeric(3, 1))
    fingerprint: Mapped[str | None]
    help_url: Mapped[str | None]
    suppressed: Mapped[bool]


Index("ix_findings_scan_id_severity_rank_id", Finding.scan_id, Finding.severity_rank.desc(), Finding.id)
