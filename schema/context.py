"""What every resolver finds in `info.context`: who asks, how to read, how to write."""

from collections.abc import Callable
from dataclasses import dataclass, field

import strawberry
from pydantic import SecretStr

from auth.context import Caller
from auth.entitlements import Entitlements, Plans
from auth.history import History
from db.replica import Replica
from db.session import Database
from engine import sql
from schema.reading import Reader
from sealing import Sealer


@dataclass(frozen=True, slots=True)
class Services:
    """What outlives a request: made once by the application."""

    database: Database
    plans: Plans
    sealer: Sealer | None
    beta_code: SecretStr | None
    wake_replies: Callable[[], None]
    replica: Replica | None = None


@dataclass(slots=True)
class Context:
    """One request. `read` runs reads, `entitlements` decides what may be done, `history` knows what was.

    Writes are in `resolvers.mutation`.
    """

    caller: Caller
    services: Services
    read: Reader = field(init=False)
    entitlements: Entitlements = field(init=False)
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.read = Reader(self.services.database, self._replica if self.services.replica else None)
        self.entitlements = Entitlements(self.caller, self.services.plans, self.read.rows)
        self.history = History(self.caller, self.read.rows)

    def _replica(self) -> Replica | None:
        """The replica, where it shows all that the caller has written."""
        replica = self.services.replica
        return replica if replica is not None and replica.has(self.caller.last_write) else None

    def foresee(self, needs: frozenset[str], page: sql.Ahead | None) -> None:
        """Have what the fields of a plan will ask for read together with the account of the caller."""
        self.caller.foresee(needs, page)

    def forget(self) -> None:
        """Drop what was read: a mutation may have changed it."""
        self.caller.forget()
        self.read.forget()
        self.entitlements.forget()
        self.history.forget()


Info = strawberry.Info[Context, None]
