"""From a credential to the account behind it: nobody, first sight, what tokens say, and who is shut out."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

import clock
import errors
from app import create_app
from auth.context import Authenticator, Caller, Gate
from auth.issuers import Kind
from auth.local_issuer import ISSUERS, LocalIssuer
from auth.permissions import Guard, HasValidatedInvite, IsAuthenticated, IsSession, has_scope
from auth.verifier import Verifier
from db.models import ApiKey, Identity, User
from db.session import Database
from domain import accounts
from domain.accounts import IdentityFacts, Terms
from domain.enrichment import Enrichment
from settings import Settings
from tests.gql import Gql
from tests.people import People, Person
from tests.refusals import LONG_AGO, stored

ME = "{ me { id email fullName username } }"
ORIGIN = {"Origin": "https://app.example.test"}
FOREIGN = {"Origin": "https://evil.example.test"}

Rows = Callable[..., Awaitable[Sequence[Any]]]


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def authenticator(
    database: Database, issuer: LocalIssuer, *, invite_required: bool = True, enrichment: Enrichment | None = None
) -> Authenticator:
    gate = Gate(["https://app.example.test"], user_header=False, invite_required=invite_required)
    terms = Terms(trial_days=30, sealer=None)
    return Authenticator(database, Verifier(issuer.issuers()), gate=gate, terms=terms, enrichment=enrichment)


async def asking(services: Authenticator, headers: dict[str, str]) -> Caller:
    return await services.caller(Headers(headers))


async def owner(rows: Rows, subject: str) -> User:
    [identity] = await rows(Identity, Identity.subject == subject)
    [user] = await rows(User, User.id == identity.user_id)
    assert isinstance(user, User)
    return user


async def test_nobody_executes(gql: Gql, statements: list[str]) -> None:
    answer = await gql(None, "{ __typename }")
    assert (answer.status, answer.data) == (200, {"__typename": "Query"})
    assert statements == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic dTpw"},
        {"Authorization": ""},
        {"X-API-Key": "iq_nonsense"},
        ORIGIN | {"Cookie": "__session=nonsense"},
    ],
)
async def test_a_bad_credential_is_401_and_writes_nothing(
    headers: dict[str, str], gql: Gql, database: Database
) -> None:
    before = await stored(database)
    answer = await gql(headers, "{ __typename }")
    assert (answer.status, answer.code, answer.data) == (401, "UNAUTHENTICATED", None)
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert "nonsense" not in str(answer.body)
    assert await stored(database) == before


async def test_two_credentials_are_refused(gql: Gql, make: People) -> None:
    person = await make.person()
    key = await make.key(person, "account:read")
    assert (await gql(person.headers | key.headers, ME)).status == 401
    twice = [("Authorization", person.headers["Authorization"])] * 2
    response = await gql.client.post("/graphql", json={"query": ME}, headers=twice)
    assert response.status_code == 401


async def test_an_expired_token(gql: Gql, make: People) -> None:
    person = await make.person()
    clock.move(timedelta(hours=1, seconds=6))
    assert (await gql(person, ME)).status == 401


async def test_an_account_that_nobody_asks_for_is_not_made(
    gql: Gql, make: People, database: Database, statements: list[str]
) -> None:
    answer = await gql(bearing(make.token(make.subject())), "{ __typename }")
    assert answer.status == 200
    assert statements == []


@pytest.mark.parametrize("kind", ISSUERS)
async def test_first_sight_makes_the_account(kind: Kind, gql: Gql, make: People, rows: Rows) -> None:
    subject = make.subject()
    answer = await gql(bearing(make.token(subject, kind=kind, email=f"{subject}@sight.test")), ME)
    assert answer.data["me"]["email"] == f"{subject}@sight.test"
    user = await owner(rows, subject)
    assert user.email_verified == (kind != "supabase")
    assert [key.name for key in await rows(ApiKey, ApiKey.user_id == user.id)] == ["Default"]


async def test_the_second_sight_only_reads(gql: Gql, make: People, database: Database, statements: list[str]) -> None:
    subject = make.subject()
    headers = bearing(make.token(subject, email=f"{subject}@sight.test", full_name="Ada"))
    first = await gql(headers, ME)
    before = await stored(database)
    statements.clear()
    assert (await gql(headers, ME)).body == first.body
    assert len(statements) == 1
    assert await stored(database) == before


async def test_fifty_first_requests_at_once_are_one_account(gql: Gql, make: People, rows: Rows) -> None:
    subject = make.subject()
    # Two tokens, as two tabs have them.
    tokens = [make.token(subject, email=f"{subject}@sight.test") for _ in range(2)]
    answers = await asyncio.gather(*(gql(bearing(token), ME) for token in tokens * 25))
    assert [answer.errors for answer in answers] == [[]] * 50
    assert len({answer.data["me"]["id"] for answer in answers}) == 1
    assert len(await rows(Identity, Identity.subject == subject)) == 1
    assert len(await rows(User, User.email == f"{subject}@sight.test")) == 1
    user = await owner(rows, subject)
    assert [key.name for key in await rows(ApiKey, ApiKey.user_id == user.id)] == ["Default"]


async def test_twelve_namesakes_at_once_get_names_of_their_own(gql: Gql, make: People) -> None:
    name = f"n{uuid.uuid4().hex[:18]}n"
    tokens = [make.token(make.subject(), kind="oidc", username=name) for _ in range(12)]
    answers = await asyncio.gather(*(gql(bearing(token), ME) for token in tokens))
    assert [answer.errors for answer in answers] == [[]] * 12
    found = {answer.data["me"]["username"] for answer in answers}
    assert len(found) == 12
    assert {name, f"{name}2"} <= found


@pytest.mark.parametrize(
    ("kind", "verified", "same"), [("oidc", True, True), ("oidc", False, False), ("supabase", True, False)]
)
async def test_accounts_join_by_an_address_that_is_verified(
    kind: Kind, verified: bool, same: bool, gql: Gql, make: People
) -> None:
    one, two = make.subject(), make.subject()
    first = await gql(bearing(make.token(one, email=f"{one}@join.test")), ME)
    second = await gql(bearing(make.token(two, kind=kind, email=f"{one}@join.test", email_verified=verified)), ME)
    assert (first.data["me"]["id"] == second.data["me"]["id"]) == same


async def test_a_newer_token_brings_a_newer_address(
    gql: Gql, make: People, database: Database, statements: list[str]
) -> None:
    subject = make.subject()
    without, old = make.token(subject), make.token(subject, email=f"old-{subject}@sight.test")
    clock.move(timedelta(minutes=1))
    new = make.token(subject, email=f"new-{subject}@sight.test")
    for token, email in ((without, None), (old, "old"), (new, "new"), (old, "new"), (without, "new")):
        me = (await gql(bearing(token), ME)).data["me"]
        assert me["email"] == (email and f"{email}-{subject}@sight.test")
    before = await stored(database)
    statements.clear()
    await gql(bearing(old), ME)
    assert len(statements) == 1
    assert await stored(database) == before


@pytest.mark.parametrize(("state", "word"), [("disabled_at", "disabled"), ("deleted_at", "deleted")])
async def test_who_is_shut_out(state: str, word: str, gql: Gql, make: People, database: Database) -> None:
    columns: dict[str, Any] = {state: LONG_AGO}
    person = await make.person(**columns)
    newer = make.token(person.subject, email=f"{person.subject}@sight.test")
    before = await stored(database)
    answer = await gql(person, ME)
    assert (answer.status, answer.code, answer.data) == (200, "ACCOUNT_DISABLED", {"me": None})
    assert word in answer.errors[0]["message"]
    assert (await gql(bearing(newer), "{ __typename }")).status == 200
    assert await stored(database) == before


@pytest.mark.parametrize("known", [True, False])
async def test_tokens_of_a_deleted_subject_bring_nothing_back(
    known: bool, gql: Gql, make: People, database: Database
) -> None:
    subject = (await make.person()).subject if known else make.subject()
    async with database.transaction() as session:
        await accounts.delete_identity(session, ISSUERS["clerk"], subject)
    clock.move(timedelta(minutes=1))
    before = await stored(database)
    answer = await gql(bearing(make.token(subject, email=f"{subject}@sight.test")), ME)
    assert (answer.code, answer.data) == ("ACCOUNT_DISABLED", {"me": None})
    assert await stored(database) == before


@pytest.mark.parametrize(
    ("headers", "cookie", "status", "signed_in"),
    [
        (ORIGIN, "__session={good}", 200, True),
        (ORIGIN, "__session_abc={good}; other=1", 200, True),
        (ORIGIN, "__session=stale; __session_abc={good}", 200, True),
        ({"Sec-Fetch-Site": "same-origin"}, "__session={good}", 200, True),
        (ORIGIN, "__session=stale", 401, False),
        (ORIGIN, "__client={good}", 200, False),
        (FOREIGN, "__session={good}", 200, False),
        (FOREIGN, "__session=stale", 200, False),
        ({"Sec-Fetch-Site": "cross-site"}, "__session={good}", 200, False),
        ({}, "__session={good}", 200, False),
    ],
)
async def test_cookies(
    headers: dict[str, str], cookie: str, status: int, signed_in: bool, gql: Gql, make: People
) -> None:
    person = await make.person()
    answer = await gql(headers | {"Cookie": cookie.format(good=person.token)}, ME)
    assert (answer.status, bool(answer.data and answer.data["me"])) == (status, signed_in)
    assert signed_in or answer.code == "UNAUTHENTICATED"


async def test_a_header_counts_and_its_cookie_does_not(gql: Gql, make: People) -> None:
    person, other = await make.person(), await make.person()
    cookie = ORIGIN | {"Cookie": f"__session={other.token}"}
    both = await gql(person.headers | cookie, ME)
    assert both.body == (await gql(person, ME)).body
    assert (await gql({"Authorization": "Bearer nonsense"} | cookie, ME)).status == 401


@asynccontextmanager
async def served(settings: Settings, **changes: Any) -> AsyncIterator[Gql]:
    """The application under other settings, on the same database."""
    app = create_app(settings.model_copy(update=changes))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gatehouse.test") as client,
    ):
        yield Gql(client)


async def test_the_development_header(gql: Gql, make: People, settings: Settings) -> None:
    person, disabled = await make.person(), await make.person(disabled_at=LONG_AGO)

    def by_id(of: Person | uuid.UUID | str) -> dict[str, str]:
        return {"X-User-Id": str(of.user_id if isinstance(of, Person) else of)}

    assert (await gql(by_id(person), ME)).code == "UNAUTHENTICATED"
    async with served(settings, dev_user_header_enabled=True) as dev:
        assert (await dev(by_id(person), ME)).body == (await gql(person, ME)).body
        assert (await dev(by_id(disabled), ME)).code == "ACCOUNT_DISABLED"
        assert (await dev(by_id(uuid.uuid4()), ME)).code == "UNAUTHENTICATED"
        assert (await dev(by_id("x"), ME)).status == 401
        assert (await dev(by_id(person) | person.headers, ME)).status == 401


async def test_without_a_database(make: People, settings: Settings) -> None:
    session, key = bearing(make.token(make.subject())), {"X-API-Key": "iq_whatever"}
    async with served(settings, database_url=SecretStr("postgresql://u@127.0.0.1:1/d?sslmode=disable")) as lonely:
        assert (await lonely(None, ME)).code == "UNAUTHENTICATED"
        assert (await lonely(session, "{ __typename }")).data == {"__typename": "Query"}
        for headers, status in ((session, 200), (key, 503)):
            answer = await lonely(headers, ME)
            assert (answer.status, answer.code) == (status, "SERVICE_UNAVAILABLE")
        assert (await lonely.client.get("/health")).status_code == 200
        assert (await lonely.client.get("/ready")).status_code == 503


async def judged(guard: type[Guard], caller: Caller) -> None:
    """Have the guard look at the caller as a field would."""
    info = cast("Any", SimpleNamespace(context=SimpleNamespace(caller=caller)))
    assert await guard().has_permission(None, info) is True


async def test_the_gate_can_be_lifted(make: People, database: Database, issuer: LocalIssuer) -> None:
    person = await make.person(invited=False)
    closed = await asking(authenticator(database, issuer), person.headers)
    with pytest.raises(errors.InviteRequired):
        await judged(HasValidatedInvite, closed)
    lifted = await asking(authenticator(database, issuer, invite_required=False), person.headers)
    await judged(HasValidatedInvite, lifted)


async def test_guards(make: People, database: Database, issuer: LocalIssuer) -> None:
    services, person = authenticator(database, issuer), await make.person()
    session = await asking(services, person.headers)
    key = await asking(services, (await make.key(person, "scans:read")).headers)
    nobody = await asking(services, {})
    for guard in (IsAuthenticated, IsSession, HasValidatedInvite, has_scope("scans:read"), has_scope("scans:write")):
        await judged(guard, session)
        with pytest.raises(errors.Unauthenticated):
            await judged(guard, nobody)
    for guard in (IsAuthenticated, HasValidatedInvite, has_scope("scans:read")):
        await judged(guard, key)
    for guard in (IsSession, has_scope("scans:write")):
        with pytest.raises(errors.Forbidden):
            await judged(guard, key)


async def test_the_account_is_read_once_and_again_when_forgotten(
    make: People, database: Database, issuer: LocalIssuer, statements: list[str]
) -> None:
    caller = await asking(authenticator(database, issuer), (await make.person()).headers)
    statements.clear()
    actors = await asyncio.gather(*(caller.actor() for _ in range(50)))
    assert len(set(actors)) == 1
    assert len(statements) == 1
    caller.forget()
    await caller.actor()
    assert len(statements) == 2


class Asked:
    """Stands in for the enrichment and remembers which subjects it was asked for."""

    issuer = ISSUERS["clerk"]

    def __init__(self) -> None:
        self.subjects: list[str] = []

    def request(self, subject: str) -> None:
        self.subjects.append(subject)


async def test_clerk_is_asked_until_it_has_told_all(make: People, database: Database, issuer: LocalIssuer) -> None:
    asked, subject, other = Asked(), make.subject(), make.subject()
    services = authenticator(database, issuer, enrichment=cast("Enrichment", asked))
    for token in (make.token(subject), make.token(other, kind="oidc")):
        await (await asking(services, bearing(token))).actor()
    assert asked.subjects == [subject]
    told = IdentityFacts(issuer=ISSUERS["clerk"], subject=subject, as_of=clock.now(), complete=True)
    async with database.transaction() as session:
        await accounts.merge(session, told, services.terms)
    await (await asking(services, bearing(make.token(subject)))).actor()
    assert asked.subjects == [subject]


@pytest.mark.parametrize("kind", ["clerk", "oidc"])
async def test_a_newer_token_brings_newer_names(kind: Kind, gql: Gql, make: People) -> None:
    subject = make.subject()
    first = make.token(subject, kind=kind, full_name="Ada")
    clock.move(timedelta(seconds=2))
    second = make.token(subject, kind=kind, full_name="Ada Lovelace")
    without = make.token(subject, kind=kind)
    assert (await gql(bearing(first), ME)).data["me"]["fullName"] == "Ada"
    for token in (second, without, first):
        assert (await gql(bearing(token), ME)).data["me"]["fullName"] == "Ada Lovelace"


async def test_an_address_without_a_word_on_its_verification_waits_for_one(
    gql: Gql, make: People, database: Database, rows: Rows
) -> None:
    """Clerk's custom claims may hold the address alone; what its webhook said a minute earlier still counts."""
    subject = make.subject()
    address = f"{subject}@example.test"
    told = clock.now() - timedelta(minutes=1)
    token = make.token(subject, claims={"email": address})
    assert (await gql(bearing(token), ME)).data["me"]["email"] == address
    assert not (await owner(rows, subject)).email_verified
    facts = IdentityFacts(ISSUERS["clerk"], subject, as_of=told, complete=True, email=address, email_verified=True)
    async with database.transaction() as session:
        assert await accounts.merge(session, facts, Terms(trial_days=30, sealer=None))
    assert (await owner(rows, subject)).email_verified
    assert (await gql(bearing(token), ME)).data["me"]["email"] == address
    assert (await owner(rows, subject)).email_verified


async def test_whose_credential_it_is_needs_no_account(
    database: Database, issuer: LocalIssuer, make: People, statements: list[str]
) -> None:
    services = authenticator(database, issuer)
    person, other = await make.person(), await make.person()
    keys = [await make.key(person, "account:read") for _ in range(2)]
    statements.clear()
    fresh = {"Authorization": f"Bearer {make.token(make.subject())}"}
    bearers = [
        (await asking(services, who)).bearer for who in ({}, fresh, person.headers, person.headers, other.headers)
    ]
    assert statements == []
    assert bearers[0] is None
    assert len(set(bearers)) == 4
    assert bearers[2] == bearers[3]
    assert [(await asking(services, key.headers)).bearer for key in keys] == [person.user_id] * 2
