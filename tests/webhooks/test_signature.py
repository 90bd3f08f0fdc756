"""Signatures: who is not believed, and who is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from svix.webhooks import Webhook

import clock
from errors import InvalidCredential
from tests.fakes import svix_sender
from tests.fakes.svix_sender import OTHER_SECRET, SECRET
from webhooks.signature import verify

BODY = b'{"type":"user.deleted"}'

# Check values that were computed with another implementation of the standard.
CHECK_ID = "msg_3Xexample0000000000000001"
CHECK_TIMESTAMP = 1795164000
CHECK_BODY = b'{"object":"event","type":"user.deleted","data":{"id":"user_x","object":"user","deleted":true}}'
BY_SECRET = "v1,YGVQ0Wcec8bawCivuIXLpW/KzhflyYJ4IdoZuL66q5g="
BY_OTHER = "v1,zd2Vqbu1uQj2RzIdly4OdQJja34KJN4qTQFUGTRQ0Dw="


@pytest.fixture
def at_check_time() -> None:
    clock.move(datetime.fromtimestamp(CHECK_TIMESTAMP, UTC) - clock.now())


async def refused(headers: dict[str, str] | Headers, body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)) -> bool:
    try:
        await verify(Headers(headers) if isinstance(headers, dict) else headers, body, secrets)
    except InvalidCredential:
        return True
    return False


def check_headers(signature: str) -> Headers:
    return Headers({"svix-id": CHECK_ID, "svix-timestamp": str(CHECK_TIMESTAMP), "svix-signature": signature})


@pytest.mark.parametrize(
    ("signature", "secrets"),
    [
        (BY_SECRET, (SECRET,)),
        (BY_OTHER, (OTHER_SECRET,)),
        (BY_SECRET, (OTHER_SECRET, SECRET)),
        (BY_OTHER, (OTHER_SECRET, SECRET)),
        (f"{BY_OTHER} {BY_SECRET}", (SECRET,)),
        (f"{BY_OTHER} {BY_SECRET}", (OTHER_SECRET,)),
        (f"v1a,{'A' * 86}== {BY_SECRET}", (SECRET,)),
    ],
)
@pytest.mark.usefixtures("at_check_time")
async def test_known_signatures_are_verified(signature: str, secrets: tuple[str, ...]) -> None:
    assert await verify(check_headers(signature), CHECK_BODY, secrets) == CHECK_ID


@pytest.mark.parametrize(
    ("signature", "secrets"),
    [
        (BY_SECRET, (OTHER_SECRET,)),
        (BY_SECRET, ()),
        (f"{BY_OTHER}, {BY_SECRET}", (SECRET,)),
        (BY_SECRET.removeprefix("v1,"), (SECRET,)),
        (f"{BY_SECRET} nonsense", (SECRET,)),
        (f"v1,A {BY_SECRET}", (SECRET,)),
        (BY_SECRET.replace("v1", "v2"), (SECRET,)),
        (BY_SECRET.lower(), (SECRET,)),
        (f"v1,{BY_SECRET}", (SECRET,)),
        (f" {BY_SECRET}", (SECRET,)),
        (f"{BY_SECRET}\n", (SECRET,)),
        ("v1,!!!!", (SECRET,)),
        ("v1,", (SECRET,)),
        ("v1", (SECRET,)),
        ("v1,\u00e9\u00e9\u00e9\u00e9", (SECRET,)),
        (" ".join([BY_SECRET] * 200), (SECRET,)),
    ],
)
@pytest.mark.usefixtures("at_check_time")
async def test_other_and_odd_signatures_are_not_verified(signature: str, secrets: tuple[str, ...]) -> None:
    assert await refused(check_headers(signature), CHECK_BODY, secrets)


@pytest.mark.parametrize("prefix", ["svix", "webhook"])
async def test_both_families_of_headers_count(prefix: str) -> None:
    headers = svix_sender.headers(BODY, message="msg_a", prefix=prefix)
    assert await verify(Headers(headers), BODY, [SECRET]) == "msg_a"


async def test_families_of_headers_are_not_mixed() -> None:
    headers = svix_sender.headers(BODY, prefix="webhook")
    assert await refused(headers | {"svix-id": headers["webhook-id"]})
    forged = svix_sender.headers(BODY, secret=OTHER_SECRET)
    assert await refused(headers | forged)


@pytest.mark.parametrize("missing", ["svix-id", "svix-timestamp", "svix-signature"])
async def test_each_header_is_needed_once(missing: str) -> None:
    headers = svix_sender.headers(BODY)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert not await refused(Headers(raw=pairs))
    assert await refused(Headers(raw=[pair for pair in pairs if pair[0] != missing.encode()]))
    assert await refused(Headers(raw=[*pairs, (missing.encode(), headers[missing].encode())]))
    assert await refused(headers | {missing: ""})


@pytest.mark.parametrize(
    "message", ["", "a" * 256, "a b", "a.b", "a\tb", "a\x00b", "\u00e9", "msg_a\n"], ids=lambda text: repr(text)[:20]
)
async def test_odd_message_ids_are_refused_even_when_signed(message: str) -> None:
    assert await refused(svix_sender.headers(BODY, message="msg_a") | {"svix-id": message})
    timestamp = int(clock.now().timestamp())
    signed = {"svix-signature": svix_sender.signature(BODY, message, timestamp), "svix-timestamp": str(timestamp)}
    assert await refused(signed | {"svix-id": message})


@pytest.mark.parametrize("timestamp", ["", "now", "nan", "inf", "-1", "1e9", "1795164000.5", "9" * 400, "\u0661", "0"])
async def test_odd_timestamps_are_refused(timestamp: str) -> None:
    headers = Headers(raw=[(b"svix-timestamp", timestamp.encode())])
    rest = [pair for pair in Headers(svix_sender.headers(BODY)).raw if pair[0] != b"svix-timestamp"]
    assert await refused(Headers(raw=[*headers.raw, *rest]))


@pytest.mark.parametrize(
    ("away", "fresh"),
    [
        (timedelta(minutes=-6), False),
        (timedelta(minutes=-4), True),
        (timedelta(minutes=4), True),
        (timedelta(minutes=6), False),
        (timedelta(days=-1), False),
        (timedelta(days=400), False),
    ],
)
async def test_freshness_is_measured_by_our_clock(away: timedelta, fresh: bool) -> None:
    assert await refused(svix_sender.headers(BODY, at=clock.now() + away)) is not fresh
    headers = svix_sender.headers(BODY)
    clock.move(-away)
    assert await refused(headers) is not fresh


async def test_another_body_is_not_verified() -> None:
    headers = svix_sender.headers(BODY)
    assert await refused(headers, BODY + b" ")
    assert await refused(headers, b"")


async def test_a_body_that_is_not_utf8_is_not_verified() -> None:
    body = b'{"type":"\xff"}'
    assert await refused(svix_sender.headers(body), body)


async def test_messages_of_the_library_are_verified() -> None:
    now = datetime.now(UTC)
    signature = Webhook(SECRET).sign("msg_lib", now, BODY.decode())
    headers = {"svix-id": "msg_lib", "svix-timestamp": str(int(now.timestamp())), "svix-signature": signature}
    assert await verify(Headers(headers), BODY, [SECRET]) == "msg_lib"


@given(
    message=st.text(max_size=300),
    timestamp=st.one_of(st.text(max_size=20), st.integers().map(str)),
    signature=st.one_of(st.text(max_size=80), st.text("v1a,= +/A", max_size=80)),
    body=st.binary(max_size=80),
)
@hypothesis_settings(max_examples=200, deadline=None)
async def test_nothing_made_up_is_verified(message: str, timestamp: str, signature: str, body: bytes) -> None:
    values = {"svix-id": message, "svix-timestamp": timestamp, "svix-signature": signature}
    raw = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in values.items()]
    assert await refused(Headers(raw=raw), body)
    now = str(int(clock.now().timestamp()))
    raw = [(b"svix-id", b"msg_a"), (b"svix-timestamp", now.encode()), raw[2]]
    assert await refused(Headers(raw=raw), body)
