"""The floor: a bare route, one statement by hand for each answer, and Postgres composes the JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uuid_utils.compat import uuid7

from benchmarks.peers.servers.spelled import sql_cursor, sql_global_id, sql_moment
from benchmarks.peers.servers.statements import CALLER, USED, make_scan
from benchmarks.peers.servers.world import Tokens, World, open_pool, subject

_WORLD = World.told()
_TOKENS = Tokens(_WORLD)


def _limit(place: int) -> str:
    """The limit of the user's tier, as SQL."""
    cases = (
        f"when '{tier}' then {limits[place]}" for tier, limits in _WORLD.limits.items() if limits[place] is not None
    )
    return f"case u.tier {' '.join(cases)} end"


ME = f"""
select json_build_object('data', json_build_object('me', (select row_to_json(answer) from (
    select {sql_global_id("User", "u.id")} as id, u.email, u.full_name as "fullName", u.username, u.tier,
        u.invite_validated as "inviteValidated", {sql_moment("u.created_at")} as "createdAt",
        (select count(*) from portfolios where user_id = u.id) as "portfolioCount",
        json_build_object(
            'maxPortfolios', portfolios, 'maxAiMessages', messages, 'aiMessagesUsed', used,
            'aiMessagesRemaining', case when used < messages then messages - used when used >= messages then 0 end,
            'aiMessagesResetAt', {sql_moment("(date_trunc('month', now(), 'UTC') + interval '1 month')")}) as limits,
        json_build_object('endsAt', {sql_moment("u.trial_ends_at")}) as trial
    from users u cross join lateral (
        select {_limit(0)} as portfolios, {_limit(1)} as messages, {USED} as used) as plan
    where u.id = {CALLER}) as answer)))::text
"""  # noqa: S608 - parts of ours
SCANS = f"""
with caller as materialized {CALLER},
page as materialized (
    select s.*, row_number() over () as place from (
        select * from scans where user_id = (select id from caller)
        order by created_at desc, id desc limit $3 + 1) as s),
edges as materialized (
    select place, {sql_cursor(_WORLD.scans_tag, "created_at", "id")} as cursor, (select row_to_json(node) from (
        select {sql_global_id("Scan", "id")} as id, tool, target, status, severity,
            {sql_moment("started_at")} as "startedAt", {sql_moment("finished_at")} as "finishedAt",
            {sql_moment("created_at")} as "createdAt",
            json_build_object('critical', critical, 'high', high, 'medium', medium, 'low', low, 'info', info)
                as "findingCounts") as node) as node
    from page where place <= $3)
select json_build_object('data', json_build_object('scans', json_build_object(
    'totalCount', (select count(*) from scans where user_id = (select id from caller)),
    'pageInfo', json_build_object(
        'hasNextPage', (select count(*) > $3 from page),
        'endCursor', (select cursor from edges order by place desc limit 1)),
    'edges', (select coalesce(json_agg(json_build_object('cursor', cursor, 'node', node) order by place), '[]')
        from edges))))::text
"""  # noqa: S608 - parts of ours
PORTFOLIOS = f"""
select json_build_object('data', json_build_object('portfolios', json_build_object('edges', (
    select coalesce(json_agg(edge), '[]') from (select node from (
        select {sql_global_id("Portfolio", "p.id")} as id, p.name, p.currency, json_build_object('edges', (
            select coalesce(json_agg(edge), '[]') from (select node from (
                select {sql_global_id("Position", "id")} as id, symbol, trim_scale(quantity)::text as quantity,
                    trim_scale(entry_price)::text as "entryPrice", entry_date as "entryDate",
                    investment_class as "investmentClass"
                from positions where portfolio_id = p.id
                order by positions.entry_date desc, positions.id desc limit $4) as node) as edge)) as positions
        from (select * from portfolios where user_id = {CALLER} order by id limit $3) as p) as node) as edge))))::text
"""  # noqa: S608 - parts of ours
CREATE_SCAN = make_scan(
    f"""json_build_object('data', json_build_object('createScan', json_build_object('scan', json_build_object(
        'id', {sql_global_id("Scan", "id")}, 'tool', tool, 'status', status,
        'createdAt', {sql_moment("created_at")}))))::text"""
)


async def me(request: Request) -> Response:
    return await _answer(request, ME)


async def scans(request: Request) -> Response:
    return await _answer(request, SCANS, int(request.query_params["first"]))


async def portfolios(request: Request) -> Response:
    first, positions = request.query_params["first"], request.query_params["positions"]
    return await _answer(request, PORTFOLIOS, int(first), int(positions))


async def create_scan(request: Request) -> Response:
    given: dict[str, Any] = orjson.loads(await request.body())
    began, ended = (datetime.fromisoformat(given[name]) for name in ("startedAt", "finishedAt"))
    told = (given["tool"], given["target"], given["status"], began, ended)
    return await _answer(request, CREATE_SCAN, uuid7(), *told, datetime.now(UTC))


async def _answer(request: Request, statement: str, *values: object) -> Response:
    caller = subject(_TOKENS, request)
    found = await request.app.state.pool.fetchval(statement, _WORLD.issuer, caller, *values)
    return Response(found, media_type="application/json")


@asynccontextmanager
async def _lifespan(application: Starlette) -> AsyncIterator[None]:
    application.state.pool = await open_pool(_WORLD)
    yield
    await application.state.pool.close()


app = Starlette(
    routes=[
        Route("/me", me),
        Route("/scans", scans),
        Route("/portfolios", portfolios),
        Route("/scans", create_scan, methods=["POST"]),
    ],
    lifespan=_lifespan,
)
