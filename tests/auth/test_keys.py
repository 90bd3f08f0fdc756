"""Which published keys count, and when they are fetched: freshness, single flight, outages, rotation, bad answers."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

import clock
from auth import remote_keys
from auth.issuers import Issuer
from auth.keys import Key, SharedSecret, keys_of, select
from auth.remote_keys import RemoteKeys
from auth.verifier import Verifier
from errors import InvalidCredential, ServiceUnavailable
from tests.auth import fakes

RSA = fakes.jwk(fakes.rsa_key(), "k1")
EC = fakes.jwk(fakes.ec_key(), "k1")


@pytest.fixture
async def source(http: httpx.AsyncClient, server: fakes.FakeIssuer) -> AsyncIterator[RemoteKeys]:
    server.publish(RSA)
    keys = RemoteKeys(http, fakes.CLERK, server.jwks_url)
    yield keys
    await keys.aclose()


@pytest.fixture
def remote(source: RemoteKeys) -> Verifier:
    """A verifier whose Clerk issuer has its keys on the server."""
    return Verifier([Issuer("clerk", fakes.CLERK, {"RS256": source})])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_keys, "FETCH_TIMEOUT", 0.15)


def token(key: str = "one", **header: Any) -> str:
    return fakes.token(fakes.clerk_claims(**fakes.times(7200)), fakes.rsa_key(key), **header)


async def settled(source: RemoteKeys) -> None:
    """Wait for what runs in the background."""
    if source._refresh is not None:
        await asyncio.wait({source._refresh})


@pytest.mark.parametrize(
    "jwk",
    [
        {**RSA, "use": "enc"},
        {**RSA, "key_ops": ["encrypt"]},
        {**RSA, "key_ops": "verify"},
        {**RSA, "alg": "RSA-OAEP"},
        {**RSA, "alg": ["RS256"]},
        {**RSA, "alg": "none"},
        {**RSA, "kid": 5},
        {**RSA, "kid": "k" * 257},
        {**RSA, "kty": "rsa"},
        {**RSA, "kty": None},
        {**RSA, "n": 5},
        {**RSA, "n": "AQAB"},
        {**RSA, "n": "A" * 200_000},
        {**RSA, "n": "$$$"},
        {**RSA, "n": ["x"]},
        {**RSA, "e": "AA"},
        {**RSA, "e": None},
        {**RSA, "d": "AQAB"},
        RSAAlgorithm.to_jwk(fakes.rsa_key(), as_dict=True) | {"key_ops": ["sign", "verify"]},
        ECAlgorithm.to_jwk(fakes.ec_key(), as_dict=True),
        {"kty": "RSA"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1"},
        {**EC, "crv": "P-1"},
        {**EC, "x": EC["y"]},
        {**EC, "x": 5},
        {**EC, "d": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "k1"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "k1"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "k1"},
        {},
        None,
        "k1",
        [RSA],
    ],
)
def test_an_unfit_key_is_left_out_and_the_others_stay(jwk: Any) -> None:
    found = keys_of({"keys": [jwk, {**RSA, "kid": "good"}]})
    assert [key.kid for key in found] == ["good"]


def test_an_rsa_key_has_at_least_2048_bits() -> None:
    assert keys_of({"keys": [fakes.jwk(fakes.rsa_key("short", 1024))]}) == ()


def test_a_curve_fits_only_its_own_algorithm() -> None:
    wide = fakes.jwk(ec.generate_private_key(ec.SECP384R1()))
    odd = fakes.jwk(ec.generate_private_key(ec.SECP256K1()))
    found = keys_of({"keys": [EC, wide, odd]})
    assert [[key.fits(name) for name in ("ES256", "ES384", "ES512", "RS256", "HS256")] for key in found] == [
        [True, False, False, False, False],
        [False, True, False, False, False],
        [False, False, False, False, False],
    ]


def test_an_ed25519_key_is_usable() -> None:
    public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    (key,) = keys_of({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": fakes.encoded(public)}]})
    assert key.fits("EdDSA")


def test_the_alg_of_a_key_is_honoured() -> None:
    (key,) = keys_of({"keys": [{**RSA, "alg": "RS512"}]})
    assert (key.fits("RS512"), key.fits("RS256")) == (True, False)


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": {}}, {"keys": None}, {"keys": [RSA] * 101}])
def test_what_is_no_jwk_set_is_an_error(document: object) -> None:
    with pytest.raises(ValueError, match="keys"):
        keys_of(document)


def test_keys_are_chosen_by_kid_and_algorithm() -> None:
    keys = keys_of({"keys": [RSA, EC, fakes.jwk(fakes.rsa_key("two"), "k2")]})
    assert select(keys, "RS256", "k1") == keys[:1]
    assert select(keys, "ES256", "k1") == keys[1:2]
    assert select(keys, "ES256", "k2") == ()
    assert select(keys, "RS256", "k1", other_than=keys[:1]) == ()


def test_without_kid_the_only_fitting_key_is_taken_and_none_of_several() -> None:
    keys = keys_of({"keys": [RSA, EC, fakes.jwk(fakes.rsa_key("two"), "k2")]})
    assert select(keys, "ES256", None) == keys[1:2]
    assert select(keys, "RS256", None) == ()


def test_few_keys_are_tried_for_one_kid() -> None:
    assert len(select([Key("oct", bytes([n]), kid="k") for n in range(50)], "HS256", "k")) == 4


def test_a_key_shows_nothing_of_itself() -> None:
    assert fakes.SECRET not in repr(Key("oct", fakes.SECRET.encode()))


@pytest.mark.parametrize(
    "secret", [json.dumps(RSA), "ssh-rsa AAAA", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", ""]
)
def test_a_public_key_is_refused_as_shared_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="not a shared secret"):
        SharedSecret(secret)


async def test_50_first_verifications_share_one_fetch(remote: Verifier, server: fakes.FakeIssuer) -> None:
    tokens = [fakes.token(fakes.clerk_claims(sub=f"user_{n}")) for n in range(50)]
    await asyncio.gather(*map(remote.verify, tokens))
    assert server.fetches == {"/jwks": 1}


@pytest.mark.parametrize("warm", [False, True])
async def test_200_random_kids_cause_two_fetches_at_most(
    remote: Verifier, server: fakes.FakeIssuer, warm: bool
) -> None:
    if warm:
        await remote.verify(token())
        clock.move(timedelta(seconds=30))
    tokens = [token(kid=f"random-{n}") for n in range(200)]
    results = await asyncio.gather(*map(remote.verify, tokens), return_exceptions=True)
    assert {type(result) for result in results} == {InvalidCredential}
    assert server.fetches["/jwks"] <= 2


async def test_random_kids_one_after_another_are_held_to_the_cool_down(
    remote: Verifier, server: fakes.FakeIssuer
) -> None:
    for n in range(60):
        with pytest.raises(InvalidCredential):
            await remote.verify(token(kid=f"random-{n}"))
        clock.move(timedelta(seconds=1))
    assert 5 <= server.fetches["/jwks"] <= 7


async def test_an_unknown_kid_is_not_asked_for_again_soon(remote: Verifier, server: fakes.FakeIssuer) -> None:
    await remote.verify(token())
    for seconds, fetches in ((11, 2), (11, 2), (11, 2), (11, 3)):
        clock.move(timedelta(seconds=seconds))
        with pytest.raises(InvalidCredential):
            await remote.verify(token(kid="gone"))
        assert server.fetches["/jwks"] == fetches


async def test_the_memory_of_unknown_kids_is_bounded(source: RemoteKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_keys, "COOL_DOWN", 0)
    monkeypatch.setattr(remote_keys, "MAX_UNKNOWN", 3)
    for n in range(6):
        await source.find("RS256", f"random-{n}")
    assert len(source._unknown) == 3


async def test_a_new_key_is_picked_up_without_restart(remote: Verifier, server: fakes.FakeIssuer) -> None:
    await remote.verify(token())
    server.publish(RSA, fakes.jwk(fakes.rsa_key("next"), "k2"))
    clock.move(timedelta(seconds=11))
    await remote.verify(token("next", kid="k2"))
    await remote.verify(token())
    assert server.fetches["/jwks"] == 2


async def test_a_new_key_under_the_old_kid_is_picked_up(remote: Verifier, server: fakes.FakeIssuer) -> None:
    """Clerk's `kid` is the instance's id, so it may not change when the key does."""
    await remote.verify(token())
    server.publish(fakes.jwk(fakes.rsa_key("next"), "k1"))
    clock.move(timedelta(seconds=11))
    await remote.verify(token("next"))
    with pytest.raises(InvalidCredential):
        await remote.verify(token())


async def test_forgeries_under_a_known_kid_are_held_to_the_cool_down(
    remote: Verifier, server: fakes.FakeIssuer
) -> None:
    await remote.verify(token())
    clock.move(timedelta(seconds=11))
    forged = [fakes.token(fakes.clerk_claims(sub=f"user_{n}"), fakes.rsa_key("stranger")) for n in range(50)]
    results = await asyncio.gather(*map(remote.verify, forged), return_exceptions=True)
    assert {type(result) for result in results} == {InvalidCredential}
    assert server.fetches["/jwks"] == 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 600),
        ("public, max-age=120", 120),
        ("max-age=5", 60),
        ("max-age=0", 60),
        ("no-cache", 60),
        ("no-store, max-age=900", 60),
        ("public, max-age=86400, must-revalidate", 3600),
        ("max-age=99999999999999999999", 600),
        ("s-maxage=120", 600),
        ("nonsense", 600),
    ],
)
async def test_keys_are_fresh_for_as_long_as_their_answer_says_within_bounds(
    source: RemoteKeys, server: fakes.FakeIssuer, header: str | None, seconds: int
) -> None:
    server.publish(RSA, **({"Cache_Control": header} if header else {}))
    await source.find("RS256", "k1")
    for move, fetches in ((seconds - 2, 1), (3, 2)):
        clock.move(timedelta(seconds=move))
        await source.find("RS256", "k1")
        await settled(source)
        assert server.fetches["/jwks"] == fetches


async def test_stale_keys_are_served_while_one_refresh_runs(source: RemoteKeys, server: fakes.FakeIssuer) -> None:
    await source.find("RS256", "k1")
    clock.move(timedelta(hours=2))
    server.answers["/jwks"].wait = release = asyncio.Event()
    answers = await asyncio.gather(*(source.find("RS256", "k1") for _ in range(50)))
    assert all(len(answer) == 1 for answer in answers)
    release.set()
    await settled(source)
    assert server.fetches["/jwks"] == 2


@pytest.mark.parametrize("status", ["500 Oops", "404 Not Found", "302 Found"])
async def test_the_last_good_keys_survive_an_outage_of_days(
    remote: Verifier, source: RemoteKeys, server: fakes.FakeIssuer, status: str
) -> None:
    await remote.verify(token())
    server.answers["/jwks"] = fakes.Answer(status=status)
    for _ in range(48):
        clock.move(timedelta(hours=1))
        await remote.verify(token())
        await settled(source)
    assert server.fetches["/jwks"] == 49
    server.publish(RSA)
    clock.move(timedelta(seconds=11))
    await remote.verify(token())


async def test_a_failed_refresh_is_not_tried_again_at_once(source: RemoteKeys, server: fakes.FakeIssuer) -> None:
    await source.find("RS256", "k1")
    server.answers.clear()
    clock.move(timedelta(hours=1))
    for _ in range(20):
        await source.find("RS256", "k1")
        await source.find("RS256", "unknown")
        await settled(source)
    assert server.fetches["/jwks"] == 2


async def test_a_withdrawn_key_ends_with_its_freshness(
    remote: Verifier, source: RemoteKeys, server: fakes.FakeIssuer
) -> None:
    old = token()
    await remote.verify(old)
    server.publish(fakes.jwk(fakes.rsa_key("next"), "k2"))
    clock.move(timedelta(seconds=601))
    await remote.verify(old)  # stale, while the refresh runs
    await settled(source)
    with pytest.raises(InvalidCredential):
        await remote.verify(old)


async def test_an_empty_set_withdraws_every_key(remote: Verifier, source: RemoteKeys, server: fakes.FakeIssuer) -> None:
    await remote.verify(token())
    server.publish()
    clock.move(timedelta(seconds=601))
    await remote.verify(token(typ="JWT"))
    await settled(source)
    with pytest.raises(InvalidCredential):
        await remote.verify(token())


BAD_ANSWERS = {
    "refused": None,
    "error": fakes.Answer(fakes.jwks(RSA), status="500 Oops"),
    "not 200": fakes.Answer(fakes.jwks(RSA), status="203 Non-Authoritative"),
    "redirect": fakes.Answer(status="302 Found", headers={"Location": "/elsewhere"}),
    "rubbish": fakes.Answer(b"<html>"),
    "empty": fakes.Answer(b""),
    "no object": fakes.Answer(b"[]"),
    "no list": fakes.Answer(b'{"keys": {}}'),
    "too many": fakes.Answer(fakes.jwks(*[RSA] * 101)),
    "too long": fakes.Answer(fakes.jwks(RSA) + b" " * 300_000),
    "too deep": fakes.Answer(b"[" * 200_000),
    "not text": fakes.Answer(b"\xff" * 100),
    "compressed": fakes.Answer(gzip.compress(fakes.jwks(RSA)), headers={"Content-Encoding": "gzip"}),
    "cut off": fakes.Answer(fakes.jwks(RSA), headers={"Content-Length": "99999"}),
    "no http": fakes.Answer(fakes.jwks(RSA), headers={"Content-Length": "many"}),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_without_any_keys_a_bad_answer_is_unavailable_and_never_unauthenticated(
    remote: Verifier, server: fakes.FakeIssuer, answer: fakes.Answer | None
) -> None:
    server.answers["/elsewhere"] = fakes.Answer(fakes.jwks(RSA))
    server.answers.pop("/jwks")
    if answer is not None:
        server.answers["/jwks"] = answer
    for _ in range(3):
        with pytest.raises(ServiceUnavailable) as caught:
            await remote.verify(token())
        assert caught.value.status == 503
    assert server.fetches == {"/jwks": 1}
    server.publish(RSA)
    clock.move(timedelta(seconds=11))
    await remote.verify(token())


async def test_a_server_that_is_not_there_is_unavailable(http: httpx.AsyncClient) -> None:
    source = RemoteKeys(http, fakes.CLERK, "http://127.0.0.1:9/jwks")
    with pytest.raises(ServiceUnavailable, match="try again"):
        await source.find("RS256", "k1")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["silent", "dripping"])
async def test_a_server_that_hangs_holds_nobody_for_longer_than_the_limit(
    source: RemoteKeys, server: fakes.FakeIssuer, how: str
) -> None:
    answer = server.answers["/jwks"]
    if how == "silent":
        answer.wait = asyncio.Event()
    else:
        answer.drip = 0.01
    async with asyncio.timeout(3):
        results = await asyncio.gather(*(source.find("RS256", "k1") for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {ServiceUnavailable}
    assert server.fetches["/jwks"] == 1


async def test_a_cancelled_request_leaves_the_fetch_to_the_others(source: RemoteKeys, server: fakes.FakeIssuer) -> None:
    server.answers["/jwks"].wait = release = asyncio.Event()
    first, *others = (asyncio.create_task(source.find("RS256", "k1")) for _ in range(5))
    await server.asked.wait()
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    release.set()
    assert [len(keys) for keys in await asyncio.gather(*others)] == [1] * 4
    assert server.fetches["/jwks"] == 1


async def test_closing_ends_a_running_fetch(source: RemoteKeys, server: fakes.FakeIssuer) -> None:
    server.answers["/jwks"].wait = asyncio.Event()
    waiting = asyncio.create_task(source.find("RS256", "k1"))
    await server.asked.wait()
    async with asyncio.timeout(1):
        await source.aclose()
        with pytest.raises(ServiceUnavailable):
            await waiting


async def test_a_fault_of_ours_is_not_taken_for_an_outage(source: RemoteKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(document: object) -> tuple[Key, ...]:
        raise ZeroDivisionError

    monkeypatch.setattr(remote_keys, "keys_of", broken)
    with pytest.raises(ZeroDivisionError):
        await source.find("RS256", "k1")


async def test_a_clock_set_back_does_not_freeze_the_keys(source: RemoteKeys, server: fakes.FakeIssuer) -> None:
    await source.find("RS256", "k1")
    clock.move(-timedelta(days=3))
    server.publish(fakes.jwk(fakes.rsa_key("next"), "k2"))
    assert len(await source.find("RS256", "k2")) == 1
