"""Scans and their findings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_26_1100"
down_revision = "2026_11_20_1902"

SEVERITIES = "severity in ('CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'INFO')"
RANK = (
    "case severity when 'CRITICAL' then 5 when 'HIGH' then 4 when 'MEDIUM' then 3 when 'LOW' then 2"
    " when 'INFO' then 1 else 0 end"
)


def upgrade() -> None:
    op.create_table(
        "scans",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("tool_version", sa.Text(), nullable=True),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column(
            "duration_rank",
            sa.BigInteger(),
            sa.Computed("coalesce(duration_ms, -1)", persisted=True),
            nullable=False,
        ),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("severity_rank", sa.SmallInteger(), sa.Computed(RANK, persisted=True), nullable=False),
        sa.Column("critical", sa.Integer(), nullable=False),
        sa.Column("high", sa.Integer(), nullable=False),
        sa.Column("medium", sa.Integer(), nullable=False),
        sa.Column("low", sa.Integer(), nullable=False),
        sa.Column("info", sa.Integer(), nullable=False),
        sa.Column("suppressed", sa.Integer(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("char_length(tool) between 1 and 100", name=op.f("ck_scans_tool_length")),
        sa.CheckConstraint("char_length(tool_version) <= 100", name=op.f("ck_scans_tool_version_length")),
        sa.CheckConstraint("char_length(target) between 1 and 500", name=op.f("ck_scans_target_length")),
        sa.CheckConstraint("status in ('COMPLETE', 'FAILED')", name=op.f("ck_scans_status")),
        sa.CheckConstraint(SEVERITIES, name=op.f("ck_scans_severity")),
        sa.CheckConstraint("finished_at >= started_at", name=op.f("ck_scans_finished")),
        sa.CheckConstraint("least(critical, high, medium, low, info, suppressed) >= 0", name=op.f("ck_scans_counts")),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_scans_digest")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_scans_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scans")),
    )
    for order in ("created_at", "severity_rank", "duration_rank"):
        op.create_index(f"ix_scans_user_id_{order}_id", "scans", ["user_id", order, "id"])
    op.create_index(
        "ix_scans_user_id_digest",
        "scans",
        ["user_id", "digest"],
        unique=True,
        postgresql_where=sa.text("digest is not null"),
    )
    _create_findings()


def _create_findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("severity_rank", sa.SmallInteger(), sa.Computed(RANK, persisted=True), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=True),
        sa.Column("rule_name", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("start_line", sa.Integer(), nullable=True),
        sa.Column("start_column", sa.Integer(), nullable=True),
        sa.Column("end_line", sa.Integer(), nullable=True),
        sa.Column("end_column", sa.Integer(), nullable=True),
        sa.Column("score", sa.Numeric(3, 1), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("help_url", sa.Text(), nullable=True),
        sa.Column("suppressed", sa.Boolean(), nullable=False),
        sa.CheckConstraint(SEVERITIES, name=op.f("ck_findings_severity")),
        sa.CheckConstraint("score between 0 and 10", name=op.f("ck_findings_score")),
        sa.CheckConstraint("char_length(message) <= 4000", name=op.f("ck_findings_message_length")),
        sa.CheckConstraint(
            "least(start_line, start_column, end_line, end_column) >= 1", name=op.f("ck_findings_place")
        ),
        sa.ForeignKeyConstraint(["scan_id"], ["scans.id"], name=op.f("fk_findings_scan_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    op.create_index(
        "ix_findings_scan_id_severity_rank_id", "findings", ["scan_id", sa.text("severity_rank desc"), "id"]
    )


def downgrade() -> None:
    op.drop_table("findings")
    op.drop_table("scans")
