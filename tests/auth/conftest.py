"""A verifier with one issuer of each kind, the clock put back after each test, and a server that plays an issuer."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest

import clock
from auth.issuers import Issuer
from auth.keys import KeySource, SharedSecret
from auth.verifier import Verifier
from tests.auth import fakes

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clock_is_put_back() -> Iterator[None]:
    yield
    clock.reset()


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The clock stands still, so that a second more or less is exactly that."""
    monkeypatch.setattr(clock, "now", lambda: NOON)
    return NOON


@pytest.fixture
def issuers() -> SimpleNamespace:
    """One issuer of each kind with key sources to play with: `clerk`, `supabase`, `oidc` and `<kind>_keys`."""
    clerk_keys = fakes.FixedKeys(fakes.jwk(fakes.rsa_key(), "k1"))
    supabase_keys = fakes.FixedKeys(fakes.jwk(fakes.ec_key(), "k1"))
    oidc_keys = fakes.FixedKeys(fakes.jwk(fakes.rsa_key("two"), "k1"))
    supabase_by: dict[str, KeySource] = {
        "ES256": supabase_keys,
        "RS256": supabase_keys,
        "HS256": SharedSecret(fakes.SECRET),
    }
    return SimpleNamespace(
        clerk_keys=clerk_keys,
        supabase_keys=supabase_keys,
        oidc_keys=oidc_keys,
        clerk=Issuer("clerk", fakes.CLERK, {"RS256": clerk_keys}, authorized_parties=(fakes.PARTY,)),
        supabase=Issuer("supabase", fakes.SUPABASE, supabase_by, audience="authenticated"),
        oidc=Issuer("oidc", fakes.OIDC, {"RS256": oidc_keys}, audience="our-api"),
    )


@pytest.fixture
def verifier(issuers: SimpleNamespace) -> Verifier:
    return Verifier([issuers.clerk, issuers.supabase, issuers.oidc])


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    # Only plain http is spoken here, and loading the machine's certificates takes longer than any of these tests.
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        yield client


@pytest.fixture
async def server() -> AsyncIterator[fakes.FakeIssuer]:
    async with fakes.fake_issuer() as issuer:
        yield issuer
