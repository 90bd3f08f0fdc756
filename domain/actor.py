"""Who acts: what rules and guards know of the caller. How somebody signed in is auth's business."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Actor:
    """An account in good standing. `invited`: let in by a code, or the gate is lifted. `scopes`: None for a session."""

    user_id: UUID
    tier: str
    invited: bool
    scopes: frozenset[str] | None

    @property
    def by_session(self) -> bool:
        return self.scopes is None
