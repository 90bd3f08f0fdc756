"""create_app(settings): routes, middleware, lifespan. Nothing is decided here."""

import gc
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import clock
import errors
import logs
from auth.context import Authenticator, Gate
from auth.issuers import Kind, issuers_from
from auth.local_issuer import ISSUERS, LocalIssuer
from auth.verifier import Verifier
from db import migrate
from db.replica import Replica
from db.session import Database
from domain.accounts import Terms
from domain.chat_replies import Replies
from domain.chat_writing import Writer
from domain.enrichment import Enrichment
from domain.plans import Plans
from domain.plans import load as load_plans
from engine import Engine, Limits
from integrations.clerk import ClerkApi
from integrations.llm import Llm
from integrations.llm_terms import NO_KEY, Endpoint
from middleware import RequestLog, Shortcut, not_served
from resolvers.bodies import MB, Bodies, Bounds
from resolvers.composing import composer
from resolvers.endpoint import GraphQLEndpoint
from resolvers.fallbacks import FallbackLog
from resolvers.graphiql import graphiql_page
from resolvers.incoming import Incoming
from resolvers.root import schema
from schema.context import Context, Services
from sealing import Sealer
from settings import Settings, SettingsError
from webhooks.clerk import ClerkWebhook

_COLLECT_AFTER = 20_000
"""Objects made since, and not freed: about a hundred requests that wait at the same time."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What lives as long as the application."""

    database: Database
    replica: Replica | None
    http: httpx.AsyncClient
    verifier: Verifier
    authenticator: Authenticator
    enrichment: Enrichment | None
    local: LocalIssuer | None
    terms: Terms
    plans: Plans
    llm: Llm | None
    replies: Replies


def create_app(settings: Settings) -> Starlette:
    """The whole application. Connects to nothing before its lifespan begins."""
    clock.follow(settings.clock_file)
    parts = _parts(settings)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(parts.database.close)
            stack.push_async_callback(parts.http.aclose)
            stack.push_async_callback(parts.verifier.aclose)
            stack.push_async_callback(parts.authenticator.last_use.drain)
            stack.push_async_callback(parts.authenticator.standings.aclose)
            if parts.replica:
                await stack.enter_async_context(parts.replica.running())
            if parts.llm:
                stack.push_async_callback(parts.llm.aclose)
            if parts.enrichment:
                await stack.enter_async_context(parts.enrichment.running())
            await stack.enter_async_context(parts.replies.running())
            yield

    graphql = _graphql(settings, parts)
    app = Starlette(routes=_routes(settings, parts, graphql), lifespan=lifespan)
    # Without Starlette's layer that masks errors, which `RequestLog` does, with the request's id.
    routed = ExceptionMiddleware(app.router, handlers={HTTPException: not_served})
    shared = _cors(settings, Shortcut("/graphql", graphql, routed))
    # Who sends no Origin is no page of another site's: there is nothing to tell a browser.
    app.middleware_stack = RequestLog(Shortcut("/graphql", graphql, _behind_proxies(shared), unless=b"origin"))
    app.state.database = parts.database
    app.state.replica = parts.replica
    app.state.head = migrate.head()
    return app


def create() -> Starlette:
    """The application of one worker process of `gatehouse serve`, from the environment alone."""
    settings = Settings.of_server()
    logs.configure(settings.log_level)
    app = create_app(settings)
    # What the process has by now it keeps. To look through it for garbage would stop every answer for a tenth of a
    # second, again and again.
    gc.freeze()
    gc.enable()
    # Nearly all that a request makes is freed without a collection. By default one sets in when a few requests are
    # under way, finds nothing, and has looked through all that they hold.
    gc.set_threshold(_COLLECT_AFTER)
    return app


def _parts(settings: Settings) -> _Parts:
    if settings.database_url is None:
        raise SettingsError("DATABASE_URL: not set; `gatehouse dev` brings a Postgres of its own.")
    pooled, read_url = settings.database_direct_url is not None, settings.database_read_url
    url = settings.database_url.get_secret_value()
    database = Database(url, pooled_by_others=pooled, replicated=read_url is not None)
    replica = Replica(read_url.get_secret_value(), database, pooled_by_others=pooled) if read_url else None
    plans = load_plans(settings.plans_file, settings.upgrade_url)
    key = settings.api_key_encryption_key
    terms = Terms(settings.trial_days, Sealer(key.get_secret_value()) if key else None)
    http = httpx.AsyncClient(follow_redirects=False)
    local = LocalIssuer(settings.gatehouse_home / "issuer") if settings.local_issuer else None
    verifier = Verifier([*issuers_from(settings, http), *(local.issuers() if local else ())])
    enrichment = None
    if settings.clerk_secret_key and settings.clerk_issuer_url:
        api = ClerkApi(http, settings.clerk_secret_key.get_secret_value(), settings.clerk_api_url)
        enrichment = Enrichment(database, api, issuer=settings.clerk_issuer_url, terms=terms)
    gate = Gate(settings.allowed_origins, settings.dev_user_header_enabled, settings.invite_code_enabled)
    authenticator = Authenticator(
        database, verifier, gate=gate, terms=terms, enrichment=enrichment, replicated=replica is not None
    )
    llm = _llm(settings)
    replies = Replies(database, Writer(database, plans, llm))
    return _Parts(database, replica, http, verifier, authenticator, enrichment, local, terms, plans, llm, replies)


def _llm(settings: Settings) -> Llm | None:
    if settings.chat_base_url is None or settings.chat_model is None:
        return None
    key = settings.chat_api_key.get_secret_value() if settings.chat_api_key else NO_KEY
    return Llm(Endpoint(settings.chat_base_url, settings.chat_model, key))


def _graphql(settings: Settings, parts: _Parts) -> GraphQLEndpoint:
    services = Services(
        database=parts.database,
        plans=parts.plans,
        sealer=parts.terms.sealer,
        beta_code=settings.beta_invite_code,
        wake_replies=parts.replies.wake,
        replica=parts.replica,
    )

    async def context_of(request: Incoming) -> Context:
        return Context(caller=await parts.authenticator.caller(request.headers), services=services)

    return GraphQLEndpoint(
        Engine(
            schema,
            limits=limits_of(settings),
            introspection=settings.introspection,
            compiled=settings.engine == "compiled",
            composer=composer,
            foresee=Context.foresee,
            on_fallback=FallbackLog(),
        ),
        context_of,
        graphiql_html=graphiql_page() if settings.graphiql else None,
        sender_of=lambda context: context.caller.bearer,
        bodies=Bodies(Bounds(largest=settings.max_body_mb * MB)),
    )


def _routes(settings: Settings, parts: _Parts, graphql: GraphQLEndpoint) -> list[BaseRoute]:
    issuer = settings.clerk_issuer_url or (ISSUERS["clerk"] if parts.local else None)
    clerk = ClerkWebhook(parts.database, secrets=settings.webhook_secrets, issuer=issuer, terms=parts.terms)
    routes: list[BaseRoute] = [
        Route("/graphql", graphql),
        Route("/webhooks/clerk", clerk),
        Route("/api/webhooks/clerk", clerk),
        Route("/health", health),
        Route("/ready", ready),
    ]
    if settings.graphiql:
        routes.append(Route("/", lambda _: RedirectResponse("/graphql")))
    return routes + (_local_issuer_routes(parts.local) if parts.local else [])


def limits_of(settings: Settings) -> Limits:
    """What one document may be at most."""
    return Limits(
        tokens=settings.graphql_max_tokens,
        depth=settings.graphql_max_depth,
        root_fields=settings.graphql_max_root_fields,
        aliases=settings.graphql_max_aliases,
        directives=settings.graphql_max_directives,
        cost=settings.graphql_max_cost,
    )


def _behind_proxies(app: ASGIApp) -> ASGIApp:
    """What a trusted proxy says of the client's scheme and address counts, as uvicorn has it for everything.

    Redirects and the local issuer's documents are made of it, and nothing at /graphql.
    """
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    return cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", app), trusted))


def _cors(settings: Settings, app: ASGIApp) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=list(settings.allowed_origins),
        allow_credentials=True,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
        expose_headers=["X-Request-Id", "Retry-After"],
        max_age=600,
    )


async def health(_request: Request) -> Response:
    """The process lives."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """The database answers, and its tables are those this code was written for."""
    try:
        revision = await request.app.state.database.revision()
    except errors.ServiceUnavailable as error:
        return JSONResponse({"status": "unavailable", "detail": error.message}, 503)
    if revision != request.app.state.head:
        detail = "The tables are at another revision than this code: run `gatehouse migrate`."
        return JSONResponse({"status": "unavailable", "detail": detail}, 503)
    return JSONResponse({"status": "ready"})


def _local_issuer_routes(local: LocalIssuer) -> list[BaseRoute]:
    def discovery(kind: Kind) -> Callable[[Request], Response]:
        return lambda request: JSONResponse(local.discovery(kind, str(request.base_url)))

    def jwks(kind: Kind) -> Callable[[Request], Response]:
        return lambda _request: JSONResponse(local.jwks(kind), headers={"Cache-Control": "public, max-age=60"})

    routes: list[BaseRoute] = []
    for kind, issuer in ISSUERS.items():
        path = httpx.URL(issuer).path
        routes.append(Route(f"{path}/.well-known/openid-configuration", discovery(kind)))
        routes.append(Route(f"{path}/.well-known/jwks.json", jwks(kind)))
    return routes
