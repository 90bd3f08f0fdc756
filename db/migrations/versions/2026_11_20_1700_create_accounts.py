"""Users and their identities."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_20_1700"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("full_name_source", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("username_source", sa.Text(), nullable=False),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("invite_validated", sa.Boolean(), nullable=False),
        sa.Column("trial_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("full_name_source in ('provider', 'user')", name=op.f("ck_users_full_name_source")),
        sa.CheckConstraint(
            "username_source in ('placeholder', 'provider', 'user')", name=op.f("ck_users_username_source")
        ),
        sa.CheckConstraint("email is not null or not email_verified", name=op.f("ck_users_email_verified")),
        sa.CheckConstraint("username ~ '^[a-z0-9][a-z0-9_-]{1,29}$'", name=op.f("ck_users_username")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
    )
    op.create_index("ix_users_email_lower", "users", [sa.text('lower(email COLLATE "C")')], unique=False)
    op.create_table(
        "identities",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("image_url", sa.Text(), nullable=True),
        sa.Column("email_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("profile_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claims_as_of", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("char_length(subject) between 1 and 255", name=op.f("ck_identities_subject_length")),
        sa.CheckConstraint(
            "user_id is not null or deleted_at is not null", name=op.f("ck_identities_owned_or_deleted")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_identities_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identities_issuer_subject")),
    )
    op.create_index("ix_identities_email_lower", "identities", [sa.text('lower(email COLLATE "C")')], unique=False)
    op.create_index(op.f("ix_identities_user_id"), "identities", ["user_id"], unique=False)


def downgrade() -> None:
    op.drop_table("identities")
    op.drop_table("users")
