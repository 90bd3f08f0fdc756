"""What a rightly signed token must say to count, and how long it is believed; forgeries are in test_forgery."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import clock
from auth.verifier import Verifier
from errors import InvalidCredential
from tests.auth import fakes


def clerk(header: dict[str, Any] | None = None, **changes: Any) -> str:
    return fakes.token(fakes.clerk_claims(**changes), **{"cat": "cl_B7d4PD111AAA", **(header or {})})


def supabase(**changes: Any) -> str:
    return fakes.token(fakes.supabase_claims(**changes), fakes.ec_key(), "ES256")


def oidc(header: dict[str, Any] | None = None, **changes: Any) -> str:
    return fakes.token(fakes.oidc_claims(**changes), fakes.rsa_key("two"), **(header or {}))


async def refusal(verifier: Verifier, token: str, *, from_cookie: bool = False) -> str:
    with pytest.raises(InvalidCredential) as caught:
        await verifier.verify(token, from_cookie=from_cookie)
    assert caught.value.status == 401
    assert caught.value.code == "UNAUTHENTICATED"
    return caught.value.message


@pytest.mark.parametrize(
    ("token", "kind", "subject", "email", "verified"),
    [
        (clerk, "clerk", "user_3XRj", None, None),
        (lambda: clerk(email="a@example.test"), "clerk", "user_3XRj", "a@example.test", None),
        (lambda: clerk(email="a@example.test", email_verified=True), "clerk", "user_3XRj", "a@example.test", True),
        (supabase, "supabase", "5f0c1f7e-2b1d-4c1a-9a53-0f1a2b3c4d5e", "ada@example.test", False),
        (lambda: supabase(email=""), "supabase", "5f0c1f7e-2b1d-4c1a-9a53-0f1a2b3c4d5e", None, False),
        (lambda: oidc(email="a@example.test", email_verified=True), "oidc", "auth0|1", "a@example.test", True),
        (lambda: oidc(email="a@example.test"), "oidc", "auth0|1", "a@example.test", False),
    ],
)
async def test_each_kind_is_verified(
    verifier: Verifier, token: Callable[[], str], kind: str, subject: str, email: str | None, verified: bool | None
) -> None:
    found = await verifier.verify(token())
    assert (found.kind, found.subject, found.facts.email, found.facts.email_verified) == (
        kind,
        subject,
        email,
        verified,
    )
    assert found.expires_at > clock.now()
    assert found.issued_at is not None
    assert found.expires_at.tzinfo is not None


async def test_a_token_by_the_legacy_secret_of_supabase_is_verified_with_and_without_kid(verifier: Verifier) -> None:
    for header in ({"kid": ...}, {"kid": "imported"}):
        token = fakes.token(fakes.supabase_claims(), fakes.SECRET, "HS256", **header)
        assert (await verifier.verify(token)).kind == "supabase"


@pytest.mark.parametrize("verified", ["true", 1, None, [True], False, ...])
async def test_an_email_is_verified_only_when_the_claim_is_true_itself(verifier: Verifier, verified: Any) -> None:
    assert not (await verifier.verify(oidc(email="a@example.test", email_verified=verified))).facts.email_verified


async def test_what_a_user_of_supabase_can_edit_is_never_believed(verifier: Verifier) -> None:
    edited = {"email": "boss@example.test", "email_verified": True, "full_name": "The Boss"}
    found = await verifier.verify(supabase(user_metadata=edited, email="", email_verified=True))
    assert (found.facts.email, found.facts.email_verified, found.facts.full_name) == (None, False, None)
    assert not (await verifier.verify(supabase(email_verified=True))).facts.email_verified


@pytest.mark.parametrize(
    "email", [5, "", "no-address", "a@b@c", "a b@c.d", "a@b\x00.c", "a@" + "b" * 320, ["a@b.c"], "\ud800@b.c"]
)
async def test_an_email_that_is_none_is_left_out(verifier: Verifier, email: Any) -> None:
    found = await verifier.verify(oidc(email=email, email_verified=True))
    assert (found.facts.email, found.facts.email_verified) == (None, False)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (
            {"name": " Ada ", "preferred_username": "ada", "picture": "https://i.test/a.png"},
            ("Ada", "ada", "https://i.test/a.png"),
        ),
        ({"full_name": "Ada", "username": "ada", "image_url": "https://i.test/a"}, ("Ada", "ada", "https://i.test/a")),
        ({"name": 5, "full_name": "Ada"}, ("Ada", None, None)),
        ({"name": "a\x00b", "preferred_username": "\udfff", "picture": "javascript:alert(1)"}, (None, None, None)),
        (
            {"name": "n" * 256, "preferred_username": "  ", "picture": "https://i.test/" + "p" * 2048},
            (None, None, None),
        ),
    ],
)
async def test_the_profile_is_taken_where_it_is_fit(verifier: Verifier, claims: Any, expected: Any) -> None:
    found = await verifier.verify(oidc(**claims))
    assert (found.facts.full_name, found.facts.username, found.facts.image_url) == expected


async def test_the_repr_shows_nothing_of_the_person(verifier: Verifier) -> None:
    found = await verifier.verify(oidc(email="ada@example.test", name="Ada", preferred_username="adal"))
    assert "ada" not in repr(found).lower()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (lambda: clerk({"cat": "cl_B7d4PD222AAA"}), "session token"),
        (lambda: clerk({"cat": "cl_B7d4PD333AAA"}, sub="mch_2x"), "session token"),
        (lambda: clerk({"cat": "cl_I7d4PD111III"}), "session token"),
        (lambda: clerk({"cat": None}), "session token"),
        (lambda: clerk({"cat": ...}, sid=...), "session token"),
        (lambda: clerk(sid=""), "session token"),
        (lambda: clerk(sub="mch_2x"), "session token"),
        (lambda: clerk({"typ": "at+jwt"}), "kind of token"),
        (lambda: clerk({"typ": "application/at+jwt"}), "kind of token"),
        (lambda: clerk({"typ": "logout+jwt"}), "kind of token"),
        (lambda: clerk(azp="https://evil.example.test"), "origin"),
        (lambda: clerk(azp="https://app.example.test/"), "origin"),
        (lambda: clerk(azp=None), "origin"),
        (lambda: clerk(azp=["https://app.example.test"]), "origin"),
        (lambda: clerk(sts="pending"), "pending"),
        (lambda: clerk(sts="revoked"), "not active"),
        (lambda: clerk(sts=None), "not active"),
        (lambda: clerk(aud="somebody"), "audience"),
        (lambda: supabase(role="anon"), "role"),
        (lambda: supabase(role="service_role"), "role"),
        (lambda: supabase(role=["authenticated"]), "role"),
        (lambda: supabase(role=...), "role"),
        (lambda: supabase(aud="anon"), "audience"),
        (lambda: supabase(aud=...), "audience"),
        (lambda: supabase(sub=""), "sub"),
        (lambda: supabase(client_id="third-party"), "third-party"),
        (lambda: oidc(aud="another-api"), "audience"),
        (lambda: oidc(aud=["a", "b"]), "audience"),
        (lambda: oidc(aud={"our-api": 1}), "audience"),
        (lambda: oidc(aud=...), "audience"),
        (lambda: oidc({"typ": "logout+jwt"}), "kind of token"),
        (lambda: oidc({"typ": "dpop+jwt"}), "kind of token"),
        (lambda: oidc({"typ": "secevent+jwt"}), "kind of token"),
        (lambda: oidc(events={"http://schemas.openid.net/event/backchannel-logout": {}}), "event"),
        (lambda: oidc(iss="https://id.example.test"), "issuer"),
        (lambda: oidc(iss="HTTPS://id.example.test/"), "issuer"),
        (lambda: oidc(iss=...), "issuer"),
    ],
)
async def test_a_signature_is_not_enough(verifier: Verifier, token: Callable[[], str], words: str) -> None:
    message = await refusal(verifier, token())
    assert words in message
    assert "example.test" not in message


@pytest.mark.parametrize("secret", [fakes.SECRET])
@pytest.mark.parametrize("role", ["anon", "service_role"])
async def test_the_legacy_keys_of_supabase_are_no_users(verifier: Verifier, secret: str, role: str) -> None:
    key = {"iss": "supabase", "ref": "abcdefghijklmnopqrst", "role": role, "iat": 1700000000, "exp": 2015576000}
    assert "issuer" in await refusal(verifier, fakes.token(key, secret, "HS256", kid=...))
    as_user = {**key, "iss": fakes.SUPABASE}
    assert "sub" in await refusal(verifier, fakes.token(as_user, secret, "HS256", kid=...))


@pytest.mark.parametrize(
    "token",
    [
        lambda: clerk({"typ": "jwt"}),
        lambda: clerk({"typ": None}),  # PyJWT leaves a typ out that is falsy
        lambda: clerk({"cat": ...}),
        lambda: clerk(sts=...),
        lambda: clerk(v=...),
        lambda: clerk(azp=...),
        lambda: clerk(act={"sub": "user_admin"}),
        lambda: supabase(aud=["authenticated"]),
        lambda: supabase(is_anonymous=True, email=""),
        lambda: supabase(client_id=None),
        lambda: oidc(aud=["https://id.example.test/userinfo", "our-api"]),
        lambda: oidc({"typ": "at+jwt"}),
        lambda: oidc({"typ": "application/at+jwt"}),
        lambda: oidc(iat=...),
    ],
)
async def test_ordinary_variants_are_accepted(verifier: Verifier, token: Callable[[], str]) -> None:
    await verifier.verify(token())


async def test_azp_is_required_of_a_cookie_and_may_be_missing_from_a_header(verifier: Verifier) -> None:
    token = clerk(azp=...)
    await verifier.verify(token)
    assert "origin" in await refusal(verifier, token, from_cookie=True)
    await verifier.verify(clerk(), from_cookie=True)


async def test_without_authorized_parties_any_azp_counts(issuers: SimpleNamespace) -> None:
    open_issuer = Verifier([type(issuers.clerk)("clerk", fakes.CLERK, issuers.clerk.keys)])
    for azp in ("https://other.example.test", ...):
        await open_issuer.verify(clerk(azp=azp), from_cookie=True)


async def test_an_audience_is_required_of_clerk_once_it_is_configured(issuers: SimpleNamespace) -> None:
    strict = Verifier([type(issuers.clerk)("clerk", fakes.CLERK, issuers.clerk.keys, audience="us")])
    await strict.verify(clerk(aud="us"))
    assert "audience" in await refusal(strict, clerk())


@pytest.mark.parametrize(
    "subject",
    ["", " ", "\t", "a\x00b", "a\nb", "\x7f", "\x85", "\ud800", "x" * 256, None, 5, True, ["a"], {"a": 1}, ...],
)
async def test_a_subject_that_is_none_is_refused(verifier: Verifier, subject: Any) -> None:
    signed = fakes.raw_token({"alg": "RS256", "kid": "k1"}, fakes.clerk_claims(sub=subject), fakes.rs256)
    assert "sub" in await refusal(verifier, signed)


async def test_a_subject_may_have_255_characters(verifier: Verifier) -> None:
    assert len((await verifier.verify(oidc(sub="x" * 255))).subject) == 255


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        ({"exp": 1}, None),
        ({"exp": -4}, None),
        ({"exp": -5}, "expired"),
        ({"exp": 366 * 86400}, None),
        ({"exp": 366 * 86400 + 1}, "more than a year"),
        ({"nbf": 5}, None),
        ({"nbf": 6}, "not valid before"),
        ({"iat": 5}, None),
        ({"iat": 6}, "not valid before"),
        ({"exp": 0.5}, None),
    ],
)
async def test_times_hold_to_the_second(verifier: Verifier, noon: datetime, shift: Any, words: str | None) -> None:
    token = oidc(**{name: noon.timestamp() + seconds for name, seconds in shift.items()})
    if words is None:
        await verifier.verify(token)
    else:
        assert words in await refusal(verifier, token)


async def test_the_refusal_of_an_expired_token_says_when_it_expired(verifier: Verifier, noon: datetime) -> None:
    message = await refusal(verifier, oidc(exp=int(noon.timestamp()) - 60))
    assert message == "The token expired at 2026-11-20T11:59:00Z; get a fresh one."


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        *(b'"1795164060"', b"null", b"true", b"[1]", b"{}", b"NaN", b"Infinity", b"-Infinity"),
        *(b"1e400", b"-1e400", b"1e308", b"9" * 30, b"9" * 4000, b"9" * 5000, b"-9" + b"9" * 30, b"-1"),
        *(b"253402300799", b"253402300800", b"32503680000"),
    ],
)
async def test_a_time_that_is_none_is_refused(verifier: Verifier, claim: str, value: bytes) -> None:
    rest = fakes.clerk_claims(**{claim: ...})
    payload = json.dumps(rest).encode()[:-1] + b', "' + claim.encode() + b'": ' + value + b"}"
    await refusal(verifier, fakes.raw_token({"alg": "RS256", "kid": "k1"}, payload, fakes.rs256))


async def test_exp_is_required(verifier: Verifier) -> None:
    assert "exp" in await refusal(verifier, oidc(exp=...))


async def test_a_found_token_is_not_examined_again(verifier: Verifier, issuers: SimpleNamespace) -> None:
    token = clerk()
    first = await verifier.verify(token)
    assert await verifier.verify(token) is first
    assert issuers.clerk_keys.asked == 1
    assert token not in repr(vars(verifier))


async def test_a_remembered_token_expires(verifier: Verifier) -> None:
    token = clerk()
    await verifier.verify(token)
    clock.move(timedelta(seconds=66))
    assert "expired" in await refusal(verifier, token)


async def test_a_remembered_token_from_a_header_does_not_pass_as_a_cookie(verifier: Verifier) -> None:
    token = clerk(azp=...)
    await verifier.verify(token)
    await refusal(verifier, token, from_cookie=True)


async def test_a_withdrawn_key_ends_what_it_signed_at_once(verifier: Verifier, issuers: SimpleNamespace) -> None:
    token = clerk()
    await verifier.verify(token)
    issuers.clerk_keys.put(fakes.jwk(fakes.rsa_key("next"), "k2"))
    await refusal(verifier, token)


@pytest.mark.parametrize("move", [timedelta(minutes=5), timedelta(seconds=-3)])
async def test_the_keys_are_asked_again_after_five_minutes(
    verifier: Verifier, issuers: SimpleNamespace, move: timedelta
) -> None:
    token = oidc()
    await verifier.verify(token)
    clock.move(move)
    await verifier.verify(token)
    assert issuers.oidc_keys.asked == 2


async def test_few_tokens_are_remembered_the_latest_used_ones(issuers: SimpleNamespace) -> None:
    verifier = Verifier([issuers.clerk], cache_size=2)
    a, b, c = (clerk(sub=f"user_{name}") for name in "abc")
    for token in (a, b, a, c, a):
        await verifier.verify(token)
    assert issuers.clerk_keys.asked == 3
    await verifier.verify(b)
    assert issuers.clerk_keys.asked == 4


async def test_a_refusal_is_not_remembered_as_good(verifier: Verifier, issuers: SimpleNamespace) -> None:
    token = clerk(sts="pending")
    for _ in range(2):
        assert "pending" in await refusal(verifier, token)


def test_two_issuers_of_one_name_are_refused(issuers: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="one name"):
        Verifier([issuers.clerk, issuers.clerk])
