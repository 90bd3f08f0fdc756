"""Tables of accounts: users, and the identities through which they sign in."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, HasId

USERNAME = "[a-z0-9][a-z0-9_-]{1,29}"
USERNAME_RULE = "2 to 30 characters: a-z, 0-9, hyphen and underscore, beginning with a letter or digit."


class User(HasId, Base):
    """One person. A field whose source is `user` was chosen by that person and is left alone by providers."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(f"username ~ '^{USERNAME}$'", name="username"),
        CheckConstraint("username_source in ('placeholder', 'provider', 'user')", name="username_source"),
        CheckConstraint("full_name_source in ('provider', 'user')", name="full_name_source"),
        CheckConstraint("email is not null or not email_verified", name="email_verified"),
    )

    email: Mapped[str | None]
    email_verified: Mapped[bool]
    full_name: Mapped[str | None]
    full_name_source: Mapped[str]
    username: Mapped[str] = mapped_column(unique=True)
    username_source: Mapped[str]
    image_url: Mapped[str | None]
    tier: Mapped[str]
    invite_validated: Mapped[bool]
    trial_ends_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


# Folded as ASCII only: what Unicode takes for the same letters, mail servers deliver to different people.
Index("ix_users_email_lower", func.lower(User.email.collate("C")))


class Identity(HasId, Base):
    """A subject of an issuer and what that provider last said of it; without a user, the tombstone of a stranger.

    The provider's own times: `email_as_of` of the address, `profile_as_of` of the last user object, `claims_as_of` of
    the last names in a token.
    """

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject"),
        CheckConstraint("user_id is not null or deleted_at is not null", name="owned_or_deleted"),
        CheckConstraint("char_length(subject) between 1 and 255", name="subject_length"),
    )

    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"), index=True)
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str | None]
    email_verified: Mapped[bool]
    full_name: Mapped[str | None]
    username: Mapped[str | None]
    image_url: Mapped[str | None]
    email_as_of: Mapped[datetime | None]
    profile_as_of: Mapped[datetime | None]
    claims_as_of: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


Index("ix_identities_email_lower", func.lower(Identity.email.collate("C")))
