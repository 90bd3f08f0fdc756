"""Who acts: what rules and guards know of the caller. How somebody signed in is auth's business."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from db.session import Row


@dataclass(frozen=True, slots=True)
class Override:
    """More of one feature for one account. `extra` None: without limit; `until` None: for good."""

    feature: str
    extra: int | None
    until: datetime | None


class Standing(NamedTuple):
    """What decides what an account may do, beside its usage. A tuple, since each request makes one.

    `active`: neither disabled nor deleted; `deleted` says which of the two.
    """

    tier: str
    trial_ends_at: datetime | None
    invited: bool
    overrides: tuple[Override, ...] = ()
    active: bool = True
    deleted: bool = False
    signed_in: bool = True


def standing_of(row: Row, *, invite_required: bool) -> Standing:
    """The standing of an account, of the columns `queries.accounts.STANDING_OF_USER`."""
    return Standing(
        tier=row.tier,
        trial_ends_at=row.trial_ends_at,
        invited=row.invite_validated or not invite_required,
        overrides=tuple(map(_override, row.overrides)) if row.overrides else (),
        active=row.disabled_at is None and row.deleted_at is None,
        deleted=row.deleted_at is not None,
    )


def _override(told: Sequence[Any]) -> Override:
    feature, extra, until = told
    return Override(feature, extra, until and datetime.fromisoformat(until))


NOBODY = Standing(tier="", trial_ends_at=None, invited=False, active=False, signed_in=False)
"""The standing of a caller who is not signed in."""

DELETED = Standing(tier="", trial_ends_at=None, invited=False, active=False, deleted=True)
"""The standing of an account that is gone, of which nothing else may be known any more."""


class Actor(NamedTuple):
    """An account in good standing. `scopes`: None for a session."""

    user_id: UUID
    standing: Standing
    scopes: frozenset[str] | None

    @property
    def tier(self) -> str:
        return self.standing.tier

    @property
    def invited(self) -> bool:
        """Let in by a code, or the gate is lifted."""
        return self.standing.invited

    def may(self, scope: str) -> bool:
        """Whether the credential allows it: sessions may everything, keys what they were made for."""
        return self.scopes is None or scope in self.scopes

    @property
    def by_session(self) -> bool:
        return self.scopes is None
