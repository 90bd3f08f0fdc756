"""What every resolver finds in `info.context`: who asks, how to read, how to write."""

from dataclasses import dataclass, field

import strawberry
from pydantic import SecretStr

from auth.context import Caller
from db.session import Database
from schema.reading import Reader
from sealing import Sealer


@dataclass(frozen=True, slots=True)
class Services:
    """What outlives a request: made once by the application."""

    database: Database
    sealer: Sealer | None
    beta_code: SecretStr | None


@dataclass(slots=True)
class Context:
    """One request. `read` runs reads; writes go through `resolvers.mutation`."""

    caller: Caller
    services: Services
    read: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.read = Reader(self.services.database)


Info = strawberry.Info[Context, None]
