"""What every resolver finds in `info.context`: who asks, how to read, how to write."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import strawberry
from pydantic import SecretStr

from auth.context import Caller
from auth.entitlements import Entitlements, Plans
from auth.history import History
from db.replica import Replica
from db.session import Database, Readable, Row
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


class Context:
    """One request. `read` runs reads, `entitlements` decides what may be done, `history` knows what was.

    Each is made when it is asked for: most requests need one of them. Writes are in `resolvers.mutation`.
    """

    __slots__ = ("_entitlements", "_history", "_read", "caller", "services")

    def __init__(self, caller: Caller, services: Services) -> None:
        self.caller = caller
        self.services = services
        self._read: Reader | None = None
        self._entitlements: Entitlements | None = None
        self._history: History | None = None

    @property
    def read(self) -> Reader:
        if self._read is None:
            self._read = Reader(self.services.database, self._replica if self.services.replica else None)
        return self._read

    @property
    def entitlements(self) -> Entitlements:
        if self._entitlements is None:
            self._entitlements = Entitlements(self.caller, self.services.plans, self._rows)
        return self._entitlements

    @property
    def history(self) -> History:
        if self._history is None:
            self._history = History(self.caller, self._rows)
        return self._history

    def _rows(self, read: Readable) -> Awaitable[Sequence[Row]]:
        return self.read.rows(read)

    def _replica(self) -> Replica | None:
        """The replica, where it shows all that the caller has written."""
        replica = self.services.replica
        return replica if replica is not None and replica.has(self.caller.last_write) else None

    def foresee(self, needs: frozenset[str], page: sql.Ahead | None, *, guarded: bool) -> Awaitable[None] | None:
        """Have what the fields of a plan will ask for read together with the account of the caller.

        Now, if it is certain that they ask for that: guards do.
        """
        self.caller.foresee(needs, page)
        return self.caller.prepare() if guarded else None

    def forget(self) -> None:
        """Drop what was read: a mutation may have changed it."""
        self.caller.forget()
        for made in (self._read, self._entitlements, self._history):
            if made is not None:
                made.forget()


Info = strawberry.Info[Context, None]
