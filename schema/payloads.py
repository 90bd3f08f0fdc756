"""What every payload shares: it holds ids and scalars only, so that a retry is answered as the first request was."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self
from uuid import UUID


@dataclass
class Payload:
    """The base of payloads. Objects are read when they are selected, from the ids kept in private fields.

    Fields named `*_id` are UUIDs, the others JSON scalars. `transient` names those that are never stored: secrets.
    """

    transient: ClassVar[frozenset[str]] = frozenset()

    def outcome(self) -> dict[str, Any]:
        """What a retry needs to answer the same."""
        # Fields that a resolver answers are not of the outcome; Strawberry leaves them out of `__init__`.
        kept = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        return {
            name: str(value) if isinstance(value, UUID) else value
            for name, value in kept.items()
            if name not in self.transient
        }

    @classmethod
    def replay(cls, outcome: Mapping[str, Any]) -> Self:
        """The payload of a stored outcome; what was transient is None."""
        stored = {name: UUID(value) if name.endswith("_id") and value else value for name, value in outcome.items()}
        return cls(**stored, **dict.fromkeys(cls.transient))
