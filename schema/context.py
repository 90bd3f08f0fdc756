"""What every resolver finds in `info.context`: who asks, how to read, how to write."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

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


class Context:
    """One request. `read` runs reads, `entitlements` decides what may be done, `history` knows what was.

    Each is made when it is asked for: most requests need one of them. None points back here: what a request has made
    shall be gone with it, and not wait for Python's collector. Writes are in `resolvers.mutation`.
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
            replica = self.services.replica
            self._read = Reader(self.services.database, partial(_up_to_date, replica, self.caller) if replica else None)
        return self._read

    @property
    def entitlements(self) -> Entitlements:
        if self._entitlements is None:
            self._entitlements = Entitlements(self.caller, self.services.plans, self.read.rows)
        return self._entitlements

    @property
    def history(self) -> History:
        if self._history is None:
            self._history = History(self.caller, self.read.rows)
        return self._history

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


def _up_to_date(replica: Replica, caller: Caller) -> Replica | None:
    """The replica, where it shows all that the caller has written."""
    return replica if replica.has(caller.last_write) else None


Info = strawberry.Info[Context, None]
