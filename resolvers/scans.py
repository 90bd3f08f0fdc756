"""Queries and mutations of scans and their findings."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import NamedTuple

import strawberry

import domain
from auth.permissions import HasValidatedInvite, IsAuthenticated, IsSession, has_scope, within_tier
from domain import scans_report
from domain.actor import Actor
from domain.scans_results import NewFinding, NewScan
from errors import Faults
from resolvers import reading
from resolvers.mutation import Work, mutation
from schema.context import Info
from schema.pagination import After, Before, Connection, First, Last, callers, connect
from schema.scans import CreateScanPayload, DeleteScanPayload, Scan, scans_page
from schema.scans_inputs import CreateScanInput, DeleteScanInput, ScanFilter, ScanOrder


@strawberry.type
class ScansQuery:
    @strawberry.field(
        permission_classes=[IsAuthenticated, has_scope("scans:read")],
        metadata=callers(Scan, scans_page),
        description="The caller's scans, the newest first unless ordered otherwise; an API key needs scans:read.",
    )
    async def scans(
        self,
        info: Info,
        *,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: ScanFilter | None = None,
        order_by: ScanOrder | None = None,
    ) -> Connection[Scan]:
        actor = await info.context.caller.actor()
        page = scans_page(first, after, last, before, filter=filter, order_by=order_by)
        return connect(Scan, page, actor.user_id)


class _Read(NamedTuple):
    """What was read of an input: its scans, and what tells those of a report from all others."""

    scans: Sequence[NewScan]
    digests: Sequence[bytes | None]


def _read(actor: Actor, input: CreateScanInput, faults: Faults) -> AbstractAsyncContextManager[_Read]:
    if input.report is not None:
        return _read_report(actor, input, input.report, faults)
    found = [NewFinding(**vars(one)) for one in input.findings or ()]
    return nullcontext(_Read([NewScan(**input.told, findings=found)], [None]))


@asynccontextmanager
async def _read_report(actor: Actor, input: CreateScanInput, report_text: str, faults: Faults) -> AsyncIterator[_Read]:
    async with reading.turn(actor.user_id):
        report = await reading.in_thread(scans_report.read, report_text)
        faults.found.extend(report.faults)
        scans = domain.scans.told_apart(report.scans, **input.said)
        yield _Read(scans, [None] * len(scans) if input.again else domain.scans.digests(report_text, scans))


@strawberry.type
class ScansMutation:
    @mutation(
        IsAuthenticated,
        has_scope("scans:write"),
        HasValidatedInvite,
        within_tier("scans"),
        prepare=_read,
        alone=lambda read: domain.scans.is_one_statement(read.scans, read.digests),
        description="Push what a scanner found, by session or by an API key with the scope scans:write. The same "
        "report again leads to the same scans, and costs nothing.",
    )
    async def create_scan(self, work: Work, input: CreateScanInput) -> CreateScanPayload:
        done = await domain.scans.create(
            work.session, work.plans, work.actor, work.prepared.scans, work.prepared.digests
        )
        kept = CreateScanPayload.kept(done.quota)
        ids = [str(one) for one in done.ids]
        new = {str(one): row for one, row in done.new.items()}
        return CreateScanPayload(scan_ids=ids, new=new, created=len(new), **kept)

    @mutation(
        IsAuthenticated,
        IsSession,
        HasValidatedInvite,
        description="Delete a scan with its findings. What was used stays used.",
    )
    async def delete_scan(self, work: Work, input: DeleteScanInput) -> DeleteScanPayload:
        await domain.scans.delete(work.session, work.actor, input.scan_id)
        return DeleteScanPayload(scan_id=input.scan_id)
