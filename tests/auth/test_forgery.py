"""Tokens that nobody trusted signed, or that are no tokens: always a refusal, never another error, never a fetch."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from auth.issuers import Issuer
from auth.keys import Key
from auth.remote_keys import RemoteKeys
from auth.tokens import is_signed, read
from auth.verifier import Verifier
from errors import InvalidCredential
from tests.auth import fakes

RS256 = {"alg": "RS256", "kid": "k1"}
PUBLIC = fakes.rsa_key().public_key()
PEM = PUBLIC.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
PKCS1 = PUBLIC.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
DER = PUBLIC.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
JWK = json.dumps(fakes.jwk(fakes.rsa_key())).encode()
MODULUS = base64.urlsafe_b64decode(fakes.jwk(fakes.rsa_key())["n"] + "==")


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda message: hmac.new(secret, message, hashlib.sha256).digest()


def signed(header: Any = None, claims: Any = None) -> str:
    """By the right key of the Clerk issuer, so that only the form is at fault."""
    return fakes.raw_token(RS256 | (header or {}), fakes.clerk_claims() if claims is None else claims, fakes.rs256)


async def refuse(verifier: Verifier, token: str) -> str:
    with pytest.raises(InvalidCredential) as caught:
        await verifier.verify(token)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.message


async def test_the_helper_signs_what_is_accepted(verifier: Verifier) -> None:
    await verifier.verify(signed())


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", " none", "none\x00"])
@pytest.mark.parametrize("signature", [b"\x00", b""])
async def test_no_algorithm_is_no_signature(verifier: Verifier, alg: str, signature: bytes) -> None:
    await refuse(verifier, fakes.raw_token({"alg": alg, "kid": "k1"}, fakes.clerk_claims(), lambda _: signature))


@pytest.mark.parametrize(
    "alg", ["rs256", "Rs256", "RS256 ", "RS384", "PS256", "HS256", "ES256", "dir", None, 5, ["RS256"], {}]
)
async def test_the_issuer_says_which_algorithms_count_to_the_letter(verifier: Verifier, alg: Any) -> None:
    await refuse(verifier, signed({"alg": alg}))


async def test_an_algorithm_is_required(verifier: Verifier) -> None:
    await refuse(verifier, fakes.raw_token({"kid": "k1"}, fakes.clerk_claims(), fakes.rs256))


@pytest.mark.parametrize("secret", [PEM, PKCS1, DER, JWK, PEM.strip(), MODULUS, b"", b"k1"])
@pytest.mark.parametrize("claims", [fakes.clerk_claims(), fakes.supabase_claims(), fakes.oidc_claims()])
async def test_a_public_key_is_no_shared_secret(verifier: Verifier, secret: bytes, claims: Any) -> None:
    await refuse(verifier, fakes.raw_token({"alg": "HS256", "kid": "k1"}, claims, hs256(secret)))


async def test_an_ec_public_key_is_no_shared_secret_either(verifier: Verifier) -> None:
    pem = (
        fakes.ec_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    await refuse(verifier, fakes.raw_token({"alg": "HS256", "kid": "k1"}, fakes.supabase_claims(), hs256(pem)))


def test_hs256_never_meets_an_asymmetric_key() -> None:
    token = fakes.raw_token({"alg": "HS256"}, {}, hs256(PEM))
    assert not is_signed(token, Key("RSA", PUBLIC), "HS256")
    assert not is_signed(token, Key("oct", PEM), "HS256")


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_a_short_secret_confirms_nothing() -> None:
    """PyJWT only warns unless told otherwise, and production does not turn warnings into errors."""
    for secret, holds in ((b"s" * 31, False), (b"s" * 32, True)):
        token = fakes.raw_token({"alg": "HS256"}, {}, hs256(secret))
        assert is_signed(token, Key("oct", secret), "HS256") is holds


async def test_the_shared_secret_of_supabase_signs_for_nobody_else(verifier: Verifier) -> None:
    for claims in (fakes.clerk_claims(), fakes.oidc_claims()):
        await refuse(verifier, fakes.token(claims, fakes.SECRET, "HS256"))


@pytest.mark.parametrize("claims", [fakes.supabase_claims(), fakes.oidc_claims()])
async def test_a_key_counts_only_for_its_own_issuer(verifier: Verifier, claims: Any) -> None:
    """All three issuers publish a key under the same `kid`."""
    await refuse(verifier, fakes.token(claims, fakes.rsa_key()))


async def test_a_key_nobody_published_is_refused(verifier: Verifier) -> None:
    await refuse(verifier, fakes.token(fakes.clerk_claims(), fakes.rsa_key("stranger")))


@pytest.mark.parametrize(
    "signature", [b"\x00" * 64, b"\x00" * 63 + b"\x01", b"", b"\x00", b"\xff" * 64, b"\x00" * 65, b"0" * 70]
)
async def test_a_psychic_signature_is_refused(verifier: Verifier, signature: bytes) -> None:
    """r = s = 0 once passed in Java (CVE-2022-21449)."""
    header = {"alg": "ES256", "kid": "k1"}
    await refuse(verifier, fakes.raw_token(header, fakes.supabase_claims(), lambda _: signature))


async def test_an_ecdsa_signature_in_der_is_refused(verifier: Verifier) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    def der(message: bytes) -> bytes:
        return fakes.ec_key().sign(message, ec.ECDSA(hashes.SHA256()))

    def raw(message: bytes) -> bytes:
        return ECAlgorithm(ECAlgorithm.SHA256).sign(message, fakes.ec_key())

    header = {"alg": "ES256", "kid": "k1"}
    await verifier.verify(fakes.raw_token(header, fakes.supabase_claims(), raw))
    await refuse(verifier, fakes.raw_token(header, fakes.supabase_claims(), der))


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": fakes.jwk(fakes.rsa_key("stranger"))},
        {"jku": "http://127.0.0.1:9/jwks"},
        {"x5u": "http://127.0.0.1:9/cert"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"b64": True},
        {"zip": "DEF"},
        {"kid": 5},
        {"kid": None},
        {"kid": ""},
        {"kid": ["k1"]},
        {"kid": "k1\x00"},
        {"kid": "k" * 257},
        {"typ": 5},
        {"typ": None},
        {f"member{n}": n for n in range(20)},
    ],
)
async def test_a_header_that_asks_for_trust_is_refused_although_the_signature_holds(
    verifier: Verifier, header: Any
) -> None:
    await refuse(verifier, signed(header))


@pytest.mark.parametrize(
    "kid",
    [
        "k2",
        "../../../dev/null",
        "' OR 1=1 --",
        "k1' UNION SELECT 'x",
        "|whoami",
        "http://127.0.0.1:9/k",
        "K1",
        "k1 ",
        "__proto__",
    ],
)
async def test_a_kid_is_only_compared(verifier: Verifier, kid: str) -> None:
    await refuse(verifier, signed({"kid": kid}))


async def test_addresses_in_a_token_are_not_fetched(http: httpx.AsyncClient, server: fakes.FakeIssuer) -> None:
    server.publish(fakes.jwk(fakes.rsa_key()))
    server.answers["/evil"] = fakes.Answer(fakes.jwks(fakes.jwk(fakes.rsa_key("stranger"), "evil")))
    evil = f"{server.url}/evil"
    verifier = Verifier([Issuer("clerk", fakes.CLERK, {"RS256": RemoteKeys(http, fakes.CLERK, server.jwks_url)})])
    by_stranger = fakes.rsa_key("stranger")
    for header in ({"jku": evil}, {"x5u": evil}, {"kid": evil}, {"iss": evil}):
        await refuse(verifier, fakes.token(fakes.clerk_claims(), by_stranger, **{"kid": "evil", **header}))
    await refuse(verifier, fakes.token(fakes.clerk_claims(iss=evil), by_stranger, kid="evil"))
    assert set(server.fetches) <= {"/jwks"}


GOOD = signed()
HEAD, BODY, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        GOOD[:-1],
        GOOD[: len(GOOD) // 2],
        f"{HEAD}.{BODY}",
        f"{HEAD}.{BODY}.",
        f"{HEAD}..{SIGNATURE}",
        f".{BODY}.{SIGNATURE}",
        f"{GOOD}.",
        f"{GOOD}.{SIGNATURE}",
        f"{GOOD}=",
        f"{GOOD}==",
        f"{HEAD}=.{BODY}.{SIGNATURE}",
        f"{HEAD}.{BODY}==.{SIGNATURE}",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        GOOD.replace(".", " ", 1),
        GOOD.replace("-", "+").replace("_", "/") + "+",
        f"{HEAD}.{BODY}.{SIGNATURE}{'A' * 8192}",
        "A" * 100_000,
        f"{HEAD}.{BODY}.{HEAD}.{BODY}.{SIGNATURE}",
        json.dumps({"payload": BODY, "protected": HEAD, "signature": SIGNATURE}),
        "\ud800",
        "é" + GOOD,
        GOOD + "\x00",
        "Bearer " + GOOD,
    ],
)
async def test_what_is_no_compact_jwt_is_refused(verifier: Verifier, token: str) -> None:
    message = await refuse(verifier, token)
    assert len(message) < 200
    assert BODY not in message


async def test_a_token_has_at_most_8192_characters(verifier: Verifier) -> None:
    room = (8192 - len(signed(claims={**fakes.clerk_claims(), "x": ""}))) * 3 // 4
    longest = signed(claims={**fakes.clerk_claims(), "x": "x" * (room - 2)})
    assert 8180 < len(longest) <= 8192
    await verifier.verify(longest)
    assert "8192" in await refuse(verifier, signed(claims={**fakes.clerk_claims(), "x": "x" * (room + 3)}))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"1",
        b"[]",
        b'"x"',
        b"{",
        b"\xff\xfe",
        json.dumps(fakes.clerk_claims()).encode()[:-1] + b', "x": "\xff"}',
        b'{"iss": "\xff"}',
        "{}".encode("utf-16"),
        json.dumps(fakes.clerk_claims()).encode("utf-16-le"),
        b"\xef\xbb\xbf" + json.dumps(fakes.clerk_claims()).encode(),
        b"[" * 5000,
        b'{"a":' * 1100,
        json.dumps(fakes.clerk_claims()).encode()[:-1] + b', "sub": "user_other"}',
        json.dumps(fakes.clerk_claims()).encode()[:-1] + b', "x": NaN}',
        json.dumps(fakes.clerk_claims()).encode()[:-1] + b', "x": ' + b"1" * 4500 + b"}",
        json.dumps(fakes.clerk_claims()).encode() + b" {}",
    ],
)
async def test_a_payload_that_is_no_plain_json_object_is_refused(verifier: Verifier, payload: bytes) -> None:
    await refuse(verifier, fakes.raw_token(RS256, payload, fakes.rs256))


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"null", b"[]", b"{", b"[" * 3000),
        b'{"alg":"RS256","alg":"none","kid":"k1"}',
        b'{"alg":"RS256","kid":"k1","kid":"k2"}',
        '{"alg":"RS256","kid":"k1"}'.encode("utf-16"),
    ],
)
async def test_a_header_that_is_no_plain_json_object_is_refused(verifier: Verifier, header: bytes) -> None:
    await refuse(verifier, fakes.raw_token(header, fakes.clerk_claims(), fakes.rs256))


@pytest.mark.parametrize("name", ["iss", "aud", "azp", "sts", "role", "client_id", "email", "name", "picture", "sid"])
@pytest.mark.parametrize("value", [None, 5, 1.5, True, [], [[]], {}, {"a": {}}, "\x00", "\ud800", "x" * 3000])
async def test_a_claim_of_an_odd_type_is_refused_or_left_out(verifier: Verifier, name: str, value: Any) -> None:
    for kind, claims in (("clerk", fakes.clerk_claims()), ("oidc", fakes.oidc_claims())):
        key = fakes.rsa_key() if kind == "clerk" else fakes.rsa_key("two")
        try:
            found = await verifier.verify(
                fakes.raw_token(RS256, {**claims, name: value}, partial(fakes.rs256, key=key))
            )
        except InvalidCredential:
            continue
        assert value is None or value not in (found.facts.email, found.facts.full_name, found.facts.image_url)


async def test_an_error_of_the_library_is_a_refusal_and_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    import auth.tokens

    class Broken:
        def decode_complete(self, *args: Any, **kwargs: Any) -> None:
            raise OverflowError("Python int too large")

    seen: list[Any] = []
    monkeypatch.setattr(auth.tokens, "_jws", Broken())
    monkeypatch.setattr(auth.tokens, "log", SimpleNamespace(warning=lambda *a, **k: seen.append((a, k))))
    assert not is_signed(GOOD, Key("RSA", PUBLIC), "RS256")
    assert "OverflowError" in str(seen)
    assert GOOD not in str(seen)


FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


@FUZZ
@given(
    st.one_of(
        st.text(), st.binary().map(lambda b: b.decode("latin-1")), st.from_regex(r"[\w.=-]{0,80}\.[\w-]*\.[\w-]+")
    )
)
async def test_anything_at_all_is_refused_in_one_way(verifier: Verifier, token: str) -> None:
    await refuse(verifier, token)


@FUZZ
@given(st.integers(0, len(GOOD) - 1), st.characters())
async def test_a_changed_character_is_refused(verifier: Verifier, place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    if changed != GOOD:
        await refuse(verifier, changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["iss", "sub", "aud", "exp", "iat", "nbf", "azp", "sts", "sid", "role", "events", "email", "jti"]
)


@FUZZ
@given(
    st.dictionaries(NAMES, JSON, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "cat", "crit", "b64", "x"]), JSON, max_size=2),
)
async def test_rightly_signed_nonsense_is_verified_or_refused_and_nothing_else(
    verifier: Verifier, claims: Any, header: Any
) -> None:
    token = fakes.raw_token(RS256 | header, fakes.clerk_claims() | claims, fakes.rs256)
    try:
        found = await verifier.verify(token)
    except InvalidCredential:
        return
    assert found.subject.startswith("user_")
    assert read(token).algorithm == "RS256"
