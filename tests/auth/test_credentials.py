"""Which credential a request presents: headers, cookies, several of them, and requests from foreign sites."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from auth.credentials import MAX_COOKIES, ApiKeySecret, BearerToken, Credential, DevelopmentUser, credential_of
from errors import InvalidCredential

OURS = "https://app.example.test"
FOREIGN = "https://evil.example.test"
OWN = [("origin", OURS)]

Pairs = list[tuple[str, str]]


def found(pairs: Pairs, *, user_header: bool = False) -> Credential | None:
    headers = Headers(raw=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs])
    return credential_of(headers, allowed_origins=[OURS], user_header=user_header)


def bearer(*tokens: str, from_cookie: bool = False) -> BearerToken:
    return BearerToken(tokens, from_cookie=from_cookie)


@pytest.mark.parametrize(
    ("pairs", "credential"),
    [
        ([], None),
        ([("x-user-id", "someone")], None),
        ([("authorization", "Bearer a.b.c")], bearer("a.b.c")),
        ([("authorization", "bearer   a.b.c ")], bearer("a.b.c")),
        ([("authorization", "BEARER a.b.c")], bearer("a.b.c")),
        ([("authorization", "Bearer iq_secret")], ApiKeySecret("iq_secret")),
        ([("x-api-key", " iq_secret ")], ApiKeySecret("iq_secret")),
        ([("x-api-key", "sk_other")], ApiKeySecret("sk_other")),
        ([("x-api-key", "")], ApiKeySecret("")),
    ],
)
def test_one_header(pairs: Pairs, credential: Credential | None) -> None:
    assert found(pairs) == credential


@pytest.mark.parametrize("value", ["", " ", "Bearer", "Bearer ", "Basic dTpw", "a.b.c", "Bearera.b.c", "Bearer\ta.b.c"])
def test_authorization_of_another_form(value: str) -> None:
    with pytest.raises(InvalidCredential, match="Bearer <token>"):
        found([("authorization", value), *OWN, ("cookie", "__session=good")])


@pytest.mark.parametrize(
    "pairs",
    [
        [("authorization", "Bearer a"), ("authorization", "Bearer a")],
        [("authorization", "Bearer a"), ("x-api-key", "iq_a")],
        [("x-api-key", "iq_a"), ("x-api-key", "iq_b")],
        [("authorization", "Bearer a"), ("x-api-key", "")],
    ],
)
def test_several_headers_are_refused(pairs: Pairs) -> None:
    with pytest.raises(InvalidCredential, match="several credentials"):
        found(pairs)


def test_the_development_header_counts_only_where_it_is_on() -> None:
    assert found([("x-user-id", " someone ")], user_header=True) == DevelopmentUser("someone")
    assert found([("x-user-id", "someone"), ("authorization", "Bearer a")]) == bearer("a")
    with pytest.raises(InvalidCredential, match="several credentials"):
        found([("x-user-id", "someone"), ("authorization", "Bearer a")], user_header=True)


@pytest.mark.parametrize(
    ("pairs", "counts"),
    [
        ([("origin", OURS)], True),
        ([("sec-fetch-site", "same-origin")], True),
        # What a browser sends from a page of the same origin with POST, GraphiQL's for one.
        ([("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-origin")], True),
        ([("origin", OURS), ("sec-fetch-site", "cross-site")], True),
        ([], False),
        ([("origin", FOREIGN)], False),
        ([("origin", "null")], False),
        ([("origin", "")], False),
        ([("origin", OURS + ".evil.test")], False),
        ([("origin", OURS.upper())], False),
        ([("origin", OURS + "/")], False),
        ([("origin", f"{FOREIGN} {OURS}")], False),
        ([("origin", OURS), ("origin", FOREIGN)], False),
        ([("origin", FOREIGN), ("sec-fetch-site", "cross-site")], False),
        ([("sec-fetch-site", "same-site")], False),
        ([("sec-fetch-site", "cross-site")], False),
        ([("sec-fetch-site", "none")], False),
        ([("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], False),
        ([("sec-fetch-site", "same-origin, cross-site")], False),
        ([("referer", OURS)], False),
    ],
)
def test_a_cookie_counts_only_from_an_allowed_or_the_same_origin(pairs: Pairs, counts: bool) -> None:
    cookie = found([*pairs, ("cookie", "__session=a.b.c")])
    assert cookie == (bearer("a.b.c", from_cookie=True) if counts else None)


@pytest.mark.parametrize(
    ("cookie", "tokens"),
    [
        ("__session=a", ["a"]),
        ("__session_xyz=a", ["a"]),
        ("other=1; __session=a; more=2", ["a"]),
        ("__session=a;__session_xyz=b", ["a", "b"]),
        # Clerk sets both to the same token.
        ("__session=a; __session_xyz=a", ["a"]),
        ('__session="a"', ["a"]),
        # What else lies in the jar must not hide the session: other applications write what they like.
        ('theme={"dark": true}; __session=a', ["a"]),
        ("flag; __session=a", ["a"]),
        ("path=/somewhere; __session=a", ["a"]),
        ("expires=never; __session=a; version=1", ["a"]),
        ("list[0]=x; (odd)=y; __session=a", ["a"]),
        ('broken="; __session=a', ["a"]),
        ("ü=ö; __session=a", ["a"]),
        ("$Version=1; __session=a", ["a"]),
        ("=nothing; ;; __session=a;", ["a"]),
        # The more specific path comes first (RFC 6265, section 5.4), so both are tried in this order.
        ("__session=a; __session=b", ["a", "b"]),
        ("__session=a=b==", ["a=b=="]),
        ("__session=", []),
        ("__session", []),
        ("__session_xyz=; __session=a", ["a"]),
        ("__client=a; __client_uat=5; __client_uat_xyz=5", []),
        ("__sessions=a; my__session=b; __Session=c; __session-x=d", []),
        ("; ".join(f"__session_{n}={n}" for n in range(40)), [str(n) for n in range(MAX_COOKIES)]),
    ],
)
def test_session_cookies(cookie: str, tokens: list[str]) -> None:
    assert found([*OWN, ("cookie", cookie)]) == (bearer(*tokens, from_cookie=True) if tokens else None)


def test_several_cookie_headers() -> None:
    pairs = [*OWN, ("cookie", "a=1; __session=one"), ("cookie", "__session_xyz=two")]
    assert found(pairs) == bearer("one", "two", from_cookie=True)


@pytest.mark.parametrize("header", [("authorization", "Bearer a"), ("x-api-key", "iq_a")])
def test_a_cookie_is_not_looked_at_beside_a_header(header: tuple[str, str]) -> None:
    alone = found([header])
    assert found([header, *OWN, ("cookie", "__session=b")]) == alone
    assert alone


def test_no_credential_is_shown() -> None:
    for credential in (bearer("topsecret"), ApiKeySecret("topsecret")):
        assert "topsecret" not in repr(credential)


NAMES = st.sampled_from(["authorization", "x-api-key", "x-user-id", "cookie", "origin", "sec-fetch-site"])
VALUES = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.lists(st.sampled_from(["__session", "=", ";", '"', "\\", "a", " ", "Bearer", "iq_", OURS])).map("".join),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_whatever_is_sent_is_a_credential_or_a_refusal(pairs: Pairs) -> None:
    try:
        credential = found(pairs)
    except InvalidCredential:
        return
    if isinstance(credential, BearerToken):
        assert all(credential.candidates)
        assert len(credential.candidates) <= MAX_COOKIES
