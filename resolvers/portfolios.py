"""Queries and mutations of portfolios and their positions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import strawberry

import domain
from auth.permissions import HasValidatedInvite, IsAuthenticated, IsSession, has_scope, within_tier
from domain import portfolios_csv
from domain.actor import Actor
from domain.portfolios_csv import Parsed
from errors import Faults
from resolvers import reading
from resolvers.mutation import Work, mutation
from schema.context import Info
from schema.pagination import After, Before, Connection, First, Last, callers, connect
from schema.portfolios import (
    CreatePortfolioInput,
    CreatePortfolioPayload,
    DeletePortfolioInput,
    DeletePortfolioPayload,
    ImportMode,
    ImportPositionsInput,
    ImportPositionsPayload,
    Portfolio,
    UpdatePortfolioInput,
    UpdatePortfolioPayload,
    portfolios_page,
)


@strawberry.type
class PortfoliosQuery:
    @strawberry.field(
        permission_classes=[IsAuthenticated, has_scope("account:read")],
        metadata=callers(Portfolio, portfolios_page),
        description="The caller's portfolios, the oldest first.",
    )
    async def portfolios(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Portfolio]:
        actor = await info.context.caller.actor()
        return connect(Portfolio, portfolios_page(first, after, last, before), actor.user_id)


@asynccontextmanager
async def _read_file(actor: Actor, input: ImportPositionsInput, faults: Faults) -> AsyncIterator[Parsed]:
    async with reading.turn(actor.user_id):
        parsed = await reading.in_thread(portfolios_csv.parse, input.csv)
        faults.found.extend(parsed.faults)
        yield parsed


@strawberry.type
class PortfoliosMutation:
    @mutation(
        IsAuthenticated,
        IsSession,
        HasValidatedInvite,
        within_tier("portfolios"),
        description="Create a portfolio; how many there may be is the plan's.",
    )
    async def create_portfolio(self, work: Work, input: CreatePortfolioInput) -> CreatePortfolioPayload:
        created, quota = await domain.portfolios.create(work.session, work.plans, work.actor, **input.values())
        return CreatePortfolioPayload(portfolio_id=created, **CreatePortfolioPayload.kept(quota))

    @mutation(
        IsAuthenticated,
        IsSession,
        HasValidatedInvite,
        description="Change name, description or currency of a portfolio.",
    )
    async def update_portfolio(self, work: Work, input: UpdatePortfolioInput) -> UpdatePortfolioPayload:
        await domain.portfolios.update(
            work.session, work.actor, input.portfolio_id, input.values(), version=input.version
        )
        return UpdatePortfolioPayload(portfolio_id=input.portfolio_id)

    @mutation(
        IsAuthenticated,
        IsSession,
        HasValidatedInvite,
        description="Delete a portfolio with its positions; it no longer counts.",
    )
    async def delete_portfolio(self, work: Work, input: DeletePortfolioInput) -> DeletePortfolioPayload:
        await domain.portfolios.delete(work.session, work.actor, input.portfolio_id)
        quota = await domain.usage.quota_now(work.session, work.plans, work.actor, "portfolios")
        return DeletePortfolioPayload(portfolio_id=input.portfolio_id, **DeletePortfolioPayload.kept(quota))

    @mutation(
        IsAuthenticated,
        IsSession,
        HasValidatedInvite,
        within_tier("positionImport"),
        prepare=_read_file,
        description="Bring the positions of a portfolio in line with a broker's CSV file; with any fault in it nothing "
        "changes. Rows are matched whole, and as often as they occur: the same file again changes nothing.",
    )
    async def import_positions(self, work: Work, input: ImportPositionsInput) -> ImportPositionsPayload:
        done = await domain.portfolios.import_positions(
            work.session,
            work.actor,
            input.target,
            work.prepared,
            replace=input.mode is ImportMode.REPLACE,
            dry_run=input.dry_run,
        )
        return ImportPositionsPayload(
            portfolio_id=input.target,
            added=done.added,
            removed=done.removed,
            unchanged=done.unchanged,
            ignored_columns=done.ignored_columns,
            dry_run=input.dry_run,
        )
