"""Issuers from Settings, and keys found by discovery; how long keys are kept is in test_keys."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

import clock
from auth.issuers import issuers_from
from auth.remote_keys import RemoteKeys
from auth.verifier import Verifier
from errors import InvalidCredential, ServiceUnavailable
from settings import Settings, SettingsError
from tests.auth import fakes

WELL_KNOWN = "/.well-known/openid-configuration"


def configured(**values: Any) -> Settings:
    return Settings.load(_env_file=None, **values)


def discovery(issuer: str, jwks_uri: Any) -> fakes.Answer:
    return fakes.Answer(json.dumps({"issuer": issuer, "jwks_uri": jwks_uri}).encode())


def test_nothing_configured_is_nobody_trusted(http: httpx.AsyncClient) -> None:
    assert issuers_from(configured(), http) == ()


def test_each_kind_has_its_algorithms(http: httpx.AsyncClient) -> None:
    settings = configured(
        clerk_domain="clerk.example.test",
        clerk_authorized_parties="https://app.example.test,https://www.example.test",
        supabase_url="https://project.supabase.test/",
        supabase_jwt_secret=fakes.SECRET,
        oidc_issuers=[{"issuer": fakes.OIDC, "audience": "our-api", "algorithms": ["ES256", "PS256"]}],
    )
    clerk, supabase, oidc = issuers_from(settings, http)
    assert (clerk.issuer, clerk.algorithms, clerk.audience) == (fakes.CLERK, ("RS256",), None)
    assert clerk.authorized_parties == ("https://app.example.test", "https://www.example.test")
    assert (supabase.issuer, supabase.algorithms) == (fakes.SUPABASE, ("ES256", "RS256", "HS256"))
    assert supabase.audience == "authenticated"
    assert (oidc.issuer, oidc.algorithms, oidc.audience) == (fakes.OIDC, ("ES256", "PS256"), "our-api")
    assert fakes.SECRET not in repr(supabase)


def test_hs256_counts_only_with_a_secret_and_never_meets_the_jwks(http: httpx.AsyncClient) -> None:
    (without,) = issuers_from(configured(supabase_url="https://project.supabase.test"), http)
    assert "HS256" not in without.algorithms
    (both,) = issuers_from(
        configured(supabase_url="https://project.supabase.test", supabase_jwt_secret=fakes.SECRET), http
    )
    assert not isinstance(both.keys["HS256"], RemoteKeys)
    assert isinstance(both.keys["ES256"], RemoteKeys)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"oidc_issuers": [{"issuer": "id.example.test", "audience": "a"}]}, "OIDC_ISSUERS"),
        ({"oidc_issuers": [{"issuer": fakes.OIDC, "audience": " "}]}, "audience"),
        ({"oidc_issuers": [{"issuer": fakes.OIDC, "audience": "a", "algorithms": []}]}, "algorithm"),
        ({"oidc_issuers": [{"issuer": fakes.OIDC, "audience": "a", "jwks_url": "file:///etc/keys"}]}, "OIDC_ISSUERS"),
        ({"oidc_issuers": [{"issuer": fakes.OIDC, "audience": a} for a in "ab"]}, "twice"),
        (
            {"supabase_url": "https://x.test", "supabase_jwt_secret": json.dumps(fakes.jwk(fakes.rsa_key()))},
            "SUPABASE_JWT",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_with_a_remedy(http: httpx.AsyncClient, values: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        issuers_from(configured(**values), http)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "safe"),
    [("http://id.example.test", False), ("http://127.0.0.1:1", True), ("https://id.example.test", True)],
)
def test_keys_over_plain_http_are_refused_in_production(http: httpx.AsyncClient, url: str, safe: bool) -> None:
    values = {"oidc_issuers": [{"issuer": url, "audience": "a"}], "database_url": "postgresql://db/x"}
    assert len(issuers_from(configured(**values), http)) == 1
    if safe:
        assert len(issuers_from(configured(environment="production", **values), http)) == 1
    else:
        with pytest.raises(SettingsError, match="not safe"):
            issuers_from(configured(environment="production", **values), http)


async def test_an_issuer_without_jwks_url_is_discovered_at_the_first_token(
    http: httpx.AsyncClient, server: fakes.FakeIssuer
) -> None:
    name = f"{server.url}/realm/"
    server.publish(fakes.jwk(fakes.rsa_key()))
    server.answers[f"/realm{WELL_KNOWN}"] = discovery(name, server.jwks_url)
    verifier = Verifier(issuers_from(configured(oidc_issuers=[{"issuer": name, "audience": "our-api"}]), http))
    assert not server.fetches
    for subject in ("a", "b"):
        await verifier.verify(fakes.token(fakes.oidc_claims(iss=name, sub=subject)))
    assert server.fetches == {f"/realm{WELL_KNOWN}": 1, "/jwks": 1}
    with pytest.raises(InvalidCredential, match="issuer"):
        await verifier.verify(fakes.token(fakes.oidc_claims(iss=name.rstrip("/"))))


async def test_clerk_and_supabase_have_their_jwks_where_they_say(
    http: httpx.AsyncClient, server: fakes.FakeIssuer
) -> None:
    server.answers["/.well-known/jwks.json"] = fakes.Answer(fakes.jwks(fakes.jwk(fakes.rsa_key())))
    server.answers["/auth/v1/.well-known/jwks.json"] = fakes.Answer(fakes.jwks(fakes.jwk(fakes.ec_key())))
    verifier = Verifier(issuers_from(configured(clerk_issuer=server.url, supabase_url=server.url), http))
    await verifier.verify(fakes.token(fakes.clerk_claims(iss=server.url)))
    claims = fakes.supabase_claims(iss=f"{server.url}/auth/v1")
    await verifier.verify(fakes.token(claims, fakes.ec_key(), "ES256"))
    await verifier.aclose()


@pytest.mark.parametrize(
    ("issuer", "jwks_uri"),
    [
        ("http://elsewhere.example.test", "{url}/jwks"),
        ("{url}/", "{url}/jwks"),
        ("{url}", "ftp://127.0.0.1/jwks"),
        ("{url}", "file:///etc/passwd"),
        ("{url}", "/jwks"),
        ("{url}", None),
        ("{url}", ["{url}/jwks"]),
        ("{url}", "http://" + "a" * 3000),
        ("{url}", "http://[::1/jwks"),
        ("{url}", "http://\x00/"),
    ],
)
async def test_a_discovery_document_that_does_not_fit_is_not_followed(
    http: httpx.AsyncClient, server: fakes.FakeIssuer, issuer: str, jwks_uri: Any
) -> None:
    server.publish(fakes.jwk(fakes.rsa_key()))
    uri = jwks_uri.format(url=server.url) if isinstance(jwks_uri, str) else jwks_uri
    server.answers[WELL_KNOWN] = discovery(issuer.format(url=server.url), uri)
    with pytest.raises(ServiceUnavailable):
        await RemoteKeys(http, server.url).find("RS256", "k1")
    assert "/jwks" not in server.fetches


async def test_an_https_issuer_cannot_send_us_to_plain_http() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={"issuer": "https://id.example.test", "jwks_uri": "http://id.example.test/k"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(ServiceUnavailable):
            await RemoteKeys(http, "https://id.example.test").find("RS256", "k1")
    assert asked == [f"https://id.example.test{WELL_KNOWN}"]


async def test_keys_that_moved_are_found_again_by_discovery(http: httpx.AsyncClient, server: fakes.FakeIssuer) -> None:
    server.publish(fakes.jwk(fakes.rsa_key()))
    server.answers[WELL_KNOWN] = discovery(server.url, server.jwks_url)
    source = RemoteKeys(http, server.url)
    await source.find("RS256", "k1")
    server.answers["/moved"] = fakes.Answer(fakes.jwks(fakes.jwk(fakes.rsa_key(), "k2")))
    server.answers[WELL_KNOWN] = discovery(server.url, f"{server.url}/moved")
    server.answers.pop("/jwks")
    found = []
    for _ in range(2):
        clock.move(timedelta(seconds=40))
        found.append(len(await source.find("RS256", "k2")))
    assert found == [0, 1]


async def test_the_last_known_address_does_while_discovery_is_out(
    http: httpx.AsyncClient, server: fakes.FakeIssuer
) -> None:
    server.publish(fakes.jwk(fakes.rsa_key()))
    server.answers[WELL_KNOWN] = discovery(server.url, server.jwks_url)
    source = RemoteKeys(http, server.url)
    await source.find("RS256", "k1")
    server.answers.pop(WELL_KNOWN)
    server.publish(fakes.jwk(fakes.rsa_key(), "k2"))
    clock.move(timedelta(days=2))
    assert len(await source.find("RS256", "k2")) == 1
