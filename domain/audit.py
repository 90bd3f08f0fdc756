"""Audit: what happened to accounts' identity, tier and keys, and to invites, in the transaction that did it."""

from uuid import UUID

import clock
from db.models import AuditEvent
from db.session import Session, wrote


def record(session: Session, user_id: UUID | None, action: str, **details: str | int | None) -> None:
    """Remember `action` (`tier.set`) for good, with ids and words in `details`; secrets have no place there.

    `user_id` None: it is of no account, such as an invite that was made.
    """
    if user_id is not None:
        wrote(session, user_id)
    session.add(AuditEvent(user_id=user_id, action=action, details=details, created_at=clock.now()))
