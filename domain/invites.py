"""Invites: codes an operator hands out, the shared beta code, and the limit on guessing."""

import hashlib
import hmac
import math
import unicodedata
from datetime import datetime, timedelta

import clock
import errors
from db import queries
from db.models import Invite, InviteAttempt
from db.session import Session
from domain import audit
from domain.actor import Actor
from domain.refusal import Refused

MAX_FAILURES = 10
FAILURE_WINDOW = timedelta(hours=1)


def folded(code: str) -> bytes:
    """SHA-256 of a code without case, surrounding blanks and variants of the same character."""
    return hashlib.sha256(unicodedata.normalize("NFKC", code.strip()).casefold().encode()).digest()


async def validate(session: Session, actor: Actor, code: str, beta_code: str | None) -> Refused | None:
    """Let the account in. A wrong code is remembered although it is refused; one that is in already takes no use."""
    # Attempts of one account wait for each other, so that the limit counts those made at the same time too.
    user = await queries.accounts.user_for_update(session, actor.user_id)
    if user is None:
        raise errors.NotFound("This account does not exist any more.")
    if user.invite_validated:
        return None
    now = clock.now()
    failures, first = await queries.invites.failures_since(session, user.id, now - FAILURE_WINDOW)
    if failures >= MAX_FAILURES and first is not None:
        wait = math.ceil((first + FAILURE_WINDOW - now).total_seconds())
        raise errors.RateLimited("Too many wrong invite codes. Wait before you try again.", max(wait, 1))
    digest = folded(code)
    shared = beta_code is not None and hmac.compare_digest(digest, folded(beta_code))
    invite_id = None if shared else await queries.invites.redeem(session, digest, now)
    let_in = shared or invite_id is not None
    session.add(InviteAttempt(user_id=user.id, invite_id=invite_id, succeeded=let_in, created_at=now))
    if not let_in:
        return Refused(errors.InvalidInvite("This invite code is not valid. Check it, or ask whoever gave it to you."))
    audit.record(session, user.id, "invite.validated", invite=str(invite_id) if invite_id else "BETA_INVITE_CODE")
    user.invite_validated = True
    user.updated_at = now
    return None


async def create(
    session: Session, *, code: str, max_uses: int, expires_at: datetime | None, note: str | None
) -> Invite:
    """Store a code; `Conflict` when it exists already."""
    if await queries.invites.by_digest(session, folded(code)):
        raise errors.Conflict(f"The invite code {code.strip()} exists already.")
    invite = Invite(
        code=code.strip(),
        digest=folded(code),
        note=note,
        max_uses=max_uses,
        uses=0,
        expires_at=expires_at,
        created_at=clock.now(),
    )
    session.add(invite)
    await session.flush()
    audit.record(session, None, "invite.created", invite=str(invite.id), max_uses=max_uses)
    return invite


async def withdraw(session: Session, code: str) -> Invite:
    """Stop a code; those it let in stay in."""
    invite = await queries.invites.by_digest(session, folded(code))
    if invite is None:
        raise errors.NotFound("There is no such invite code.")
    if invite.withdrawn_at is None:
        invite.withdrawn_at = clock.now()
        audit.record(session, None, "invite.withdrawn", invite=str(invite.id))
    return invite
