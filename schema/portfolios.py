"""Portfolios and positions as clients see them, and the inputs and payloads of their mutations."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pycountry
import strawberry

from db import queries
from db.models import InvestmentClass, OptionType
from db.queries.paging import Listing
from engine import sql
from errors import Faults
from schema import ids
from schema.context import Info
from schema.entitlements import QuotaPayload
from schema.enums import describe
from schema.inputs import MutationInput, check_lines, check_text
from schema.node import Node
from schema.pagination import After, Before, Connection, First, Last, Page, connect
from schema.payloads import Payload

MAX_NAME = 100
MAX_DESCRIPTION = 1_000
_A_CURRENCY = "A currency of ISO 4217, such as USD."

describe(InvestmentClass, "What kind of thing a position is in.")
describe(OptionType, "What an option is a right to.", CALL="The right to buy.", PUT="The right to sell.")


@strawberry.enum(
    description="MERGE adds what is not there yet. REPLACE also removes what the file does not have: it is the truth."
)
class ImportMode(StrEnum):
    MERGE = "MERGE"
    REPLACE = "REPLACE"


@strawberry.type(description="One lot: what was bought or sold short, when, and for how much.")
class Position(Node):
    symbol: str = strawberry.field(description="The symbol, in upper case.")
    quantity: Decimal = strawberry.field(description="Shares, contracts or units; below zero for a short.")
    entry_price: Decimal = strawberry.field(description="The price of one share or unit, in the portfolio's currency.")
    entry_date: date = strawberry.field(description="The day it was entered.")
    investment_class: InvestmentClass = strawberry.field(description="What kind of thing it is.")
    strike_price: Decimal | None = strawberry.field(description="Of an option: its strike price.")
    option_type: OptionType | None = strawberry.field(description="Of an option: call or put.")
    expiration: date | None = strawberry.field(description="Of an option: the day it expires.")
    exit_date: date | None = strawberry.field(description="The day it was exited; null while it is open.")
    exit_price: Decimal | None = strawberry.field(description="The price of one share at the exit; null while open.")
    notes: str | None = strawberry.field(description="What its owner noted: plain text, to be shown as such.")
    cost_basis: Decimal = strawberry.field(
        description="Quantity times entry price, for an option times 100, the shares in a contract. Below zero for a "
        "short."
    )


def portfolios_page(*page: Any, **named: Any) -> Listing:
    """A page of a user's portfolios."""
    return Page(*page, **named).of(queries.portfolios.PORTFOLIOS_OF_USER)


def _positions(*page: Any, **named: Any) -> Listing:
    return Page(*page, **named).of(queries.portfolios.POSITIONS_OF_PORTFOLIO)


@strawberry.type(description="Positions that belong together, in one currency.")
class Portfolio(Node):
    name: str = strawberry.field(description="What its owner calls it.")
    description: str | None = strawberry.field(description="What its owner says of it.")
    currency: str = strawberry.field(description="The code of ISO 4217 that its prices are in.")
    version: int = strawberry.field(description="Grows with each change of name, description or currency.")
    position_count: int = strawberry.field(description="How many positions it has.")
    cost_basis: Decimal = strawberry.field(description="The cost bases of its positions, open and exited, added up.")
    created_at: datetime = strawberry.field(description="When it was created.")
    updated_at: datetime = strawberry.field(description="When it, or its positions, last changed.")

    @strawberry.field(metadata={sql.LISTING: _positions}, description="The positions, those entered last first.")
    def positions(
        self, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Position]:
        return connect(Position, _positions(first, after, last, before), self.pk)


@strawberry.type
class _PortfolioPayload(Payload):
    portfolio_id: strawberry.Private[UUID]

    @strawberry.field(description="The portfolio, as it is now; null for a retry after it was deleted.")
    async def portfolio(self, info: Info) -> Portfolio | None:
        owner = await info.context.caller.user_id()
        row = await info.context.read.row(queries.portfolios.portfolios(owner, [self.portfolio_id]))
        return Portfolio.from_row(row) if row else None


@strawberry.type(description="The portfolio that was created.")
class CreatePortfolioPayload(_PortfolioPayload, QuotaPayload):
    pass


@strawberry.type(description="The portfolio after the change.")
class UpdatePortfolioPayload(_PortfolioPayload):
    pass


@strawberry.type(description="The portfolio that is no more.")
class DeletePortfolioPayload(QuotaPayload):
    portfolio_id: strawberry.Private[UUID]

    @strawberry.field(description="The global id it had.")
    def deleted_id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(Portfolio.__name__, self.portfolio_id))


@strawberry.type(description="What an import changed, or with dryRun would change.")
class ImportPositionsPayload(_PortfolioPayload):
    added: int = strawberry.field(description="Positions that were added.")
    removed: int = strawberry.field(description="Positions that were removed.")
    unchanged: int = strawberry.field(description="Rows of the file that were there already.")
    ignored_columns: list[str] = strawberry.field(description="Columns of the file that were not understood.")
    dry_run: bool = strawberry.field(description="Whether nothing was changed because that was asked for.")


@strawberry.input(description="A new portfolio.")
class CreatePortfolioInput(MutationInput):
    name: str = strawberry.field(description="What to call it: 1 to 100 characters.")
    description: str | None = strawberry.field(default=None, description="Up to 1000 characters.")
    currency: str = strawberry.field(default="USD", description="A code of ISO 4217, such as USD or EUR.")

    def check_fields(self, faults: Faults) -> None:
        check_text(faults, "name", self.name, longest=MAX_NAME)
        check_lines(faults, "description", self.description or "", longest=MAX_DESCRIPTION)
        faults.unless(_currency(self.currency) is not None, "input.currency", _A_CURRENCY)

    def values(self) -> dict[str, Any]:
        """What is stored of a checked input."""
        return _stored({"name": self.name, "description": self.description, "currency": self.currency})


@strawberry.input(description="Which portfolio.")
class PortfolioIdInput(MutationInput):
    id: strawberry.ID = strawberry.field(description="The global id of a portfolio of yours.")

    def check_fields(self, faults: Faults) -> None:
        faults.unless(ids.decode(self.id) is not None, "input.id", "Not an id of this API.")

    @property
    def portfolio_id(self) -> UUID:
        """The portfolio that is meant; `NotFound` for the id of something else."""
        return ids.key_of(Portfolio.__name__, self.id)


@strawberry.input(description="What to change of a portfolio; what is left out stays as it is.")
class UpdatePortfolioInput(PortfolioIdInput):
    version: int | None = strawberry.field(
        default=None,
        description="The version that was read: CONFLICT if it has changed since. Without it, it may have.",
    )
    name: str | None = strawberry.field(default=strawberry.UNSET, description="1 to 100 characters.")
    description: str | None = strawberry.field(
        default=strawberry.UNSET, description="Up to 1000 characters; null clears it."
    )
    currency: str | None = strawberry.field(
        default=strawberry.UNSET, description="A code of ISO 4217. Prices are not converted."
    )

    def check_fields(self, faults: Faults) -> None:
        super().check_fields(faults)
        changes = self._changes()
        faults.unless(bool(changes), "input", "Something to change: name, description or currency.")
        if "name" in changes:
            check_text(faults, "name", changes["name"] or "", longest=MAX_NAME)
        check_lines(faults, "description", changes.get("description") or "", longest=MAX_DESCRIPTION)
        if "currency" in changes:
            faults.unless(_currency(changes["currency"] or "") is not None, "input.currency", _A_CURRENCY)

    def values(self) -> dict[str, Any]:
        """What a checked input changes, as it is stored."""
        return _stored(self._changes())

    def _changes(self) -> dict[str, Any]:
        return {name: value for name, value in self.given().items() if name not in {"id", "version"}}


@strawberry.input(description="Which portfolio to delete, with its positions.")
class DeletePortfolioInput(PortfolioIdInput):
    pass


@strawberry.input(description="A file of positions, as brokers export them.")
class ImportPositionsInput(MutationInput):
    portfolio_id: strawberry.ID = strawberry.field(description="The global id of a portfolio of yours.")
    csv: str = strawberry.field(
        description="The text of the file: a header, then up to 10000 rows. Columns come in any order, called as "
        "brokers call them: Symbol, Quantity, Entry Price and Entry Date are needed; Investment Class, Strike Price, "
        "Option Type, Expiration, Exit Date, Exit Price and Notes are read too. A quantity below zero is a short. "
        "Dates are 2026-11-20 or 11/20/2026. A comma may be the decimal mark where columns are not separated by commas."
    )
    mode: ImportMode = strawberry.field(
        default=ImportMode.MERGE, description="What to do with positions that the file does not have."
    )
    dry_run: bool = strawberry.field(default=False, description="Only say what would change.")

    def check_fields(self, faults: Faults) -> None:
        faults.unless(ids.decode(self.portfolio_id) is not None, "input.portfolioId", "Not an id of this API.")

    @property
    def target(self) -> UUID:
        """The portfolio that is meant; `NotFound` for the id of something else."""
        return ids.key_of(Portfolio.__name__, self.portfolio_id)


def _currency(code: str) -> str | None:
    """As ISO 4217 writes it, whatever the case; None for what is not in it."""
    found = pycountry.currencies.get(alpha_3=code)
    return found.alpha_3 if found else None


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    tidy = {name: (value or "").strip() or None for name, value in values.items()}
    return tidy | ({"currency": _currency(values["currency"])} if "currency" in values else {})
