"""An OpenAI-compatible endpoint as our client meets it: what is sent, what is believed, and every way to fail."""

import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from errors import RateLimited, UpstreamFailed
from integrations import completions, llm
from integrations.llm import Llm
from integrations.llm_terms import MAX_ANSWER, Endpoint, Failure, Turn
from tests.fakes.llm_api import API_KEY, MODEL, FakeLlm, answer, completion, fake_llm

HELLO = [Turn("system", "Be brief."), Turn("user", "Hello?")]


@pytest.fixture
async def fake() -> AsyncIterator[FakeLlm]:
    async with fake_llm() as fake:
        yield fake


@pytest.fixture
async def model(fake: FakeLlm) -> AsyncIterator[Llm]:
    async with aclosing(Llm(Endpoint(fake.base_url, MODEL, API_KEY))) as model:
        yield model


async def test_a_conversation_is_asked_and_the_answer_read(model: Llm, fake: FakeLlm) -> None:
    fake.say = lambda messages: f"You said: {messages[-1]['content']}"
    assert await model.answer(HELLO) == "You said: Hello?"
    assert fake.calls == ["POST /v1/chat/completions"]
    assert fake.asked == [{"model": MODEL, "messages": [{"role": t.role, "content": t.content} for t in HELLO]}]


async def test_only_our_own_headers_are_sent(fake: FakeLlm, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "BASE_URL"):
        monkeypatch.setenv(f"OPENAI_{name}", "surprise")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Surprise: surprise\nAuthorization: Bearer surprise")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with aclosing(Llm(Endpoint(fake.base_url, MODEL))) as keyless:
        assert await keyless.answer(HELLO) == "Hello."
    host = fake.base_url.removeprefix("http://").removesuffix("/v1")
    assert {name: value for name, value in fake.sent[0].items() if name not in ("content-length", "connection")} == {
        "host": host,
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "Bearer none",
        "user-agent": "gatehouse",
    }


@pytest.mark.parametrize(
    "raw",
    [
        answer(401, {"error": {"message": f"Incorrect API key provided: {API_KEY}.", "code": "invalid_api_key"}}),
        answer(404, {"error": {"message": f"No such model, says {API_KEY}", "code": "model_not_found"}}),
        answer(404, {"error": {"message": f"{'x' * 290}{API_KEY}"}}),
        answer(400, {"error": {"message": "a\0b", "code": 7}}),
        answer(400, b"<html>Bad Request</html>", content_type="text/html"),
        answer(302, location="http://127.0.0.1:1/elsewhere"),
        answer(307, location="/v1/elsewhere"),
        answer(200, b"<html>Welcome</html>", content_type="text/html"),
        answer(200, b"no json"),
        answer(200, b""),
        answer(200, b"[" * 100_000),
        answer(200, b"\xff"),
        answer(200, []),
        answer(200, None),
        answer(200, {"error": {"message": "overloaded"}}),
        answer(200, {"object": "error", "message": "overloaded", "code": 50}),
        answer(200, completion() | {"choices": []}),
        answer(200, completion() | {"choices": [None]}),
        answer(200, completion() | {"choices": {"message": "no"}}),
        answer(200, completion(None)),
        answer(200, completion("")),
        answer(200, completion(" \n")),
        answer(200, completion(["parts"])),
        answer(200, completion(None, finish="tool_calls", tool_calls=[{"id": "1"}])),
        answer(200, completion("Half of it", finish="content_filter")),
        answer(200, json.dumps(completion()).encode() + b" " * completions.MAX_BODY),
        answer(200, gzip.compress(json.dumps(completion()).encode()), content_encoding="gzip"),
        answer(200, completion())[:-10],
    ],
    ids=lambda raw: repr(raw[9:13] + raw[-30:]),
)
async def test_failures_are_one_error_without_secrets(model: Llm, fake: FakeLlm, raw: bytes) -> None:
    fake.script.extend([raw, raw])
    with capture_logs() as logged, pytest.raises(UpstreamFailed) as caught:
        await model.answer(HELLO)
    assert caught.value.message.startswith("The language model ")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    [event] = logged
    assert (event["event"], event["model"]) == ("llm.failed", MODEL)
    assert API_KEY[:10] not in f"{caught.value!r} {model!r} {Endpoint('', MODEL, API_KEY)!r} {logged!r}"
    assert "Hello?" not in repr(logged)
    assert "\0" not in event["reason"]
    assert {call.split("/", 1)[1] for call in fake.calls} == {"v1/chat/completions"}


@pytest.mark.parametrize("raw", [answer(500), answer(503, {"error": {}}), b"", b"nonsense\r\n\r\n"])
async def test_a_passing_failure_is_tried_once_more(
    model: Llm, fake: FakeLlm, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm, "PAUSE", 0)
    fake.script.append(raw)
    assert await model.answer(HELLO) == "Hello."
    fake.script.extend([raw, raw, raw])
    with pytest.raises(UpstreamFailed):
        await model.answer(HELLO)
    assert len(fake.calls) == 4


async def test_a_silent_model_is_given_up(model: Llm, fake: FakeLlm, monkeypatch: pytest.MonkeyPatch) -> None:
    await model.answer(HELLO)
    monkeypatch.setattr(llm, "TIMEOUT", 0.1)
    fake.hanging = True
    with pytest.raises(UpstreamFailed):
        await model.answer(HELLO)
    assert len(fake.calls) == 2


async def test_a_model_out_of_reach() -> None:
    async with aclosing(Llm(Endpoint("http://user:hidden@127.0.0.1:1", MODEL))) as model:
        with capture_logs() as logged, pytest.raises(UpstreamFailed):
            await model.answer(HELLO)
    assert (logged[0]["reason"], logged[0]["host"]) == ("no connection: ConnectError", "127.0.0.1")
    assert "hidden" not in repr(logged)


async def test_what_is_said_of_a_bad_key_is_not_logged(model: Llm, fake: FakeLlm) -> None:
    fake.script.append(answer(401, {"error": {"message": "Incorrect API key provided: sk-fake****Fake."}}))
    with capture_logs() as logged, pytest.raises(UpstreamFailed):
        await model.answer(HELLO)
    assert logged[0]["reason"] == "status 401"


@pytest.mark.parametrize("key", ["ä", "a\nb", "a\0b"])
async def test_a_key_that_fits_into_no_header(fake: FakeLlm, key: str) -> None:
    async with aclosing(Llm(Endpoint(fake.base_url, MODEL, key))) as model:
        with capture_logs() as logged, pytest.raises(UpstreamFailed):
            await model.answer(HELLO)
    assert key not in repr(logged)


@pytest.mark.parametrize(
    ("wish", "seconds"), [("60", 60), ("100000", 3600), ("9" * 5000, 10), ("soon", 10), ("-1", 10), (None, 10)]
)
async def test_being_limited(model: Llm, fake: FakeLlm, wish: str | None, seconds: int) -> None:
    fake.script.append(answer(429, {}, **({"retry_after": wish} if wish else {})))
    with pytest.raises(RateLimited) as caught:
        await model.answer(HELLO)
    assert caught.value.retry_after == seconds
    assert len(fake.calls) == 1


async def test_being_limited_for_a_moment_is_waited_out(model: Llm, fake: FakeLlm) -> None:
    fake.script.append(answer(429, {}, retry_after="0"))
    assert await model.answer(HELLO) == "Hello."


@pytest.mark.parametrize("turns", [[Turn("user", "a" * 200_001)], [Turn("user", "a")] * 101])
async def test_a_request_that_is_too_large_is_not_sent(model: Llm, fake: FakeLlm, turns: list[Turn]) -> None:
    with pytest.raises(UpstreamFailed, match="too long"):
        await model.answer(turns)
    assert fake.calls == []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (completion(" Hello.\n"), "Hello."),
        (completion("a\0b\ud800c"), "a\ufffdb\ufffdc"),
        (completion(None, refusal="I must not."), "I must not."),
        (completion("Half of", finish="length"), "Half of" + completions._CUT),
        (completion("Hello.", finish="whatever"), "Hello."),
        (completion("a" * MAX_ANSWER), "a" * MAX_ANSWER),
    ],
)
async def test_answers_are_read(model: Llm, fake: FakeLlm, document: Any, expected: str) -> None:
    fake.script.append(answer(200, document))
    assert await model.answer(HELLO) == expected


async def test_a_body_of_many_small_objects_holds_up_nobody(model: Llm, fake: FakeLlm) -> None:
    fake.script.append(answer(200, b'{"choices": [' + b"{}," * 300_000 + b"{}]}"))
    began = time.process_time()
    with pytest.raises(UpstreamFailed):
        await model.answer(HELLO)
    assert time.process_time() - began < 5  # built into the library's objects it would be ten times that


async def test_a_long_answer_is_cut(model: Llm, fake: FakeLlm) -> None:
    fake.say = lambda _: "a" * 1_000_000
    found = await model.answer(HELLO)
    assert len(found) == MAX_ANSWER
    assert found.endswith("aaa" + completions._CUT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["choices", "message", "content", "finish_reason", "refusal"]), inner)
        ),
        max_leaves=12,
    )
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_reading_fails_in_one_way_only(document: object) -> None:
    for candidate in (document, {"choices": [document]}, {"choices": [{"message": document}]}):
        try:
            text = completions._text_of(candidate)
        except Failure:
            continue
        assert 0 < len(text) <= MAX_ANSWER
        assert text.encode()
        assert "\0" not in text
