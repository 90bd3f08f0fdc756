"""Bodies: who may send how much, when and for how long; what is over a bound is answered without being read."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

import errors
from resolvers.bodies import Bodies, Bounds
from resolvers.incoming import Incoming
from tests.resolvers.graphql_app import Probe, make_app

BOUNDS = Bounds(unqueued=100, small=1_000, largest=10_000, small_at_once=2, waiting=2, quick_places=2, slow_places=1)
LARGE = 5_000
NOBODY = "nobody"


@dataclass
class Sender(Probe):
    name: str | None = None


class Call:
    """One request by hand: what the application asks for of its body, and what it answers."""

    def __init__(self, app: Any, size: int | None, sender: str = "ada", **headers: str) -> None:
        self.asked = 0
        self.asked_before_answer = 0
        self.status = 0
        self.body: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.size = size or 0
        fields = {"content-type": "application/json", "x-sender": sender} | headers
        fields |= {"content-length": str(size)} if size is not None else {}
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": raw}
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        return await self._messages.get()

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.asked_before_answer = self.asked
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message.get("body"):
            self.body = json.loads(message["body"])

    def give(self, part: bytes, *, more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": part, "more_body": more})

    def finish(self, given: int = 0) -> None:
        """Send a whole request, or what is left of one of which so many blanks were sent."""
        head, tail = b'{"query": "{ hello }", "more": "', b'"}'
        self.give(head + b"x" * max(self.size - given - len(head) - len(tail), 0) + tail, more=False)

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    @property
    def code(self) -> str:
        return str(self.body["errors"][0]["extensions"]["code"]) if "errors" in self.body else "OK"

    async def answered(self) -> str:
        await asyncio.wait_for(self.task, 5)
        return f"{self.status} {self.code}"


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def app_with(bounds: Bounds = BOUNDS, **options: Any) -> Any:
    async def context_of(request: Incoming) -> Sender:
        name = request.headers.get("x-sender")
        return Sender(name=None if name == NOBODY else name)

    options = {"make_context": context_of, "sender_of": lambda sender: sender.name} | options
    return make_app(Probe(), bodies=Bodies(bounds), **options)


@pytest.fixture
async def app() -> AsyncIterator[Any]:
    before = asyncio.all_tasks()
    yield app_with()
    await settled()
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()


# --- What is refused unread


@pytest.mark.parametrize(
    ("headers", "size", "answer"),
    [
        ({"accept": "image/png", "content_type": "text/plain"}, 10**9, "406 BAD_USER_INPUT"),
        ({"content_type": "text/plain"}, 10**9, "415 BAD_USER_INPUT"),
        ({"content_encoding": "gzip"}, 10**9, "415 BAD_USER_INPUT"),
        ({}, 10**9, "401 UNAUTHENTICATED"),
    ],
)
async def test_what_shows_in_the_head_is_refused_before_the_body(
    headers: dict[str, str], size: int, answer: str
) -> None:
    async def refuse(_request: Incoming) -> object:
        raise errors.InvalidCredential("Expired.")

    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    call = Call(app_with(make_context=refuse), size, **fields)
    await settled()
    call.leave()
    assert await call.answered() == answer
    assert call.asked_before_answer == 0


@pytest.mark.parametrize(("sender", "most"), [(NOBODY, 1_000), ("ada", 10_000)])
async def test_how_much_may_be_sent_is_told_from_the_credential(app: Any, sender: str, most: int) -> None:
    for size in (most + 1, 10**30):
        call = Call(app, size, sender)
        call.leave()
        assert await call.answered() == "413 BAD_USER_INPUT"
        assert call.asked_before_answer == 0
        words = call.body["errors"][0]["message"]
        assert words.startswith(f"The body is larger than {most} bytes")
        assert ("Sign in" if sender == NOBODY else "MAX_BODY_MB") in words
    call = Call(app, most, sender)
    call.finish()
    assert await call.answered() == "200 OK"


@pytest.mark.parametrize(("sender", "most"), [(NOBODY, 1_000), ("ada", 10_000)])
async def test_a_body_that_does_not_say_its_size_is_bounded_as_it_comes(app: Any, sender: str, most: int) -> None:
    call = Call(app, None, sender)
    for _ in range(most // 100 + 10):
        call.give(b" " * 100)
    call.leave()
    assert await call.answered() == "413 BAD_USER_INPUT"
    assert call.asked_before_answer == most // 100 + 1
    call = Call(app, None, sender)
    call.give(b" " * 90)
    call.finish()
    assert await call.answered() == "200 OK"


# --- Who waits for whom


async def test_one_large_body_of_a_sender_at_a_time_and_the_next_is_not_read(app: Any) -> None:
    first, second, other = Call(app, LARGE), Call(app, LARGE), Call(app, LARGE, "bob")
    second.finish()
    other.finish()
    assert await other.answered() == "200 OK"
    await settled()
    assert (first.asked, second.asked, second.task.done()) == (1, 0, False)
    first.finish()
    assert await first.answered() == await second.answered() == "200 OK"


async def test_a_few_smaller_ones_of_a_sender_at_a_time_and_the_smallest_at_once(app: Any) -> None:
    calls = [Call(app, 500, NOBODY) for _ in range(3)]
    large = Call(app, LARGE)
    await settled()
    assert [call.asked for call in (*calls, large)] == [1, 1, 0, 1]
    smallest = Call(app, 100, NOBODY)
    smallest.finish()
    assert await smallest.answered() == "200 OK"
    for call in (*calls, large):
        call.finish()
        assert await call.answered() == "200 OK"


async def test_one_of_unknown_size_waits_when_it_turns_out_to_be_large(app: Any) -> None:
    first, second = Call(app, LARGE), Call(app, None)
    for _ in range(5):
        second.give(b" " * 90)
    await settled()
    assert second.asked == 2
    first.leave()
    second.finish()
    assert await second.answered() == "200 OK"
    whole = Call(app, None)
    whole.give(b" " * 200)
    whole.finish()
    assert await whole.answered() == "200 OK"


async def test_who_has_too_many_waiting_is_told_at_once(app: Any) -> None:
    calls = [Call(app, LARGE) for _ in range(3)]
    await settled()
    one_too_many = Call(app, LARGE)
    one_too_many.leave()
    assert await one_too_many.answered() == "429 RATE_LIMITED"
    assert (one_too_many.asked_before_answer, one_too_many.headers["retry-after"]) == (0, "10")
    for call in calls:
        call.finish()
        assert await call.answered() == "200 OK"


async def test_a_process_has_so_many_places_whoever_asks(app: Any) -> None:
    calls = [Call(app, LARGE, sender) for sender in ("ada", "bob", "cyd")]
    await settled()
    assert [call.asked for call in calls] == [1, 1, 0]
    calls[0].leave()
    await settled()
    assert calls[2].asked == 1
    for call in calls[1:]:
        call.finish()
        assert await call.answered() == "200 OK"


async def test_waiting_ends_and_says_when_to_come_again() -> None:
    bounds = Bounds(unqueued=100, small=1_000, largest=10_000, quick_places=2, wait=0.05)
    app = app_with(bounds)
    holders = [Call(app, LARGE, "ada"), Call(app, LARGE, "bob")]
    await settled()
    for sender, answer, after in (("ada", "429 RATE_LIMITED", "10"), ("cyd", "503 SERVICE_UNAVAILABLE", "30")):
        waiting = Call(app, LARGE, sender)
        waiting.leave()
        assert await waiting.answered() == answer
        assert (waiting.asked_before_answer, waiting.headers["retry-after"]) == (0, after)
    for call in holders:
        call.finish()
        assert await call.answered() == "200 OK"


async def test_a_place_is_kept_until_the_answer_is_made(app: Any) -> None:
    slow = Call(app, None)
    slow.give(b" " * 200)
    slow.give(b'{"query": "{ slow }"}', more=False)
    await settled()
    next_one = Call(app, LARGE)
    next_one.finish()
    await settled()
    assert next_one.asked == 0
    slow.task.cancel()
    assert await next_one.answered() == "200 OK"
    await asyncio.gather(slow.task, return_exceptions=True)


async def test_few_of_those_that_have_come_are_worked_on_at_once() -> None:
    app = app_with(Bounds(unqueued=100, small=1_000, largest=10_000, worked_on=1, wait=0.05))
    slow = Call(app, LARGE, "ada")
    slow.give(b'{"query": "{ slow }"}', more=False)
    await settled()
    waiting = Call(app, LARGE, "bob")
    waiting.finish()
    assert await waiting.answered() == "503 SERVICE_UNAVAILABLE"
    assert waiting.headers["retry-after"] == "30"
    small = Call(app, 500, "bob")
    small.finish()
    assert await small.answered() == "200 OK"
    slow.leave()
    assert (await slow.answered())[:3] == "499"
    after = Call(app, LARGE, "bob")
    after.finish()
    assert await after.answered() == "200 OK"


# --- How long


async def drip(call: Call, count: int, size: int, pause: float) -> None:
    for _ in range(count):
        call.give(b" " * size)
        await asyncio.sleep(pause)


async def test_a_body_that_falls_behind_the_rate_is_given_up() -> None:
    app = app_with(Bounds(unqueued=100, small=1_000, largest=10_000, silence=0.2, rate=10_000))
    call = Call(app, 10_000)
    await drip(call, 20, 50, 0.05)
    call.leave()
    assert await call.answered() == "408 BAD_USER_INPUT"
    assert call.asked_before_answer < 20


async def test_a_body_that_keeps_the_rate_may_take_its_time_but_not_rest_on_it() -> None:
    app = app_with(Bounds(unqueued=100, small=1_000, largest=10_000, silence=0.3, rate=1_000))
    call = Call(app, LARGE)
    await drip(call, 10, 300, 0.1)
    call.finish(3_000)
    assert await call.answered() == "200 OK"
    resting = Call(app, LARGE)
    resting.give(b" " * 4_900)
    await asyncio.sleep(0.5)
    resting.leave()
    assert await resting.answered() == "408 BAD_USER_INPUT"


async def test_a_slow_sender_makes_room_for_who_waits_or_is_given_up() -> None:
    app = app_with(Bounds(unqueued=100, small=1_000, largest=10_000, quick_places=1, slow_places=1, quick=0))
    slow = Call(app, LARGE, "ada")
    slow.give(b" ")
    await settled()
    assert not slow.task.done()
    waiting = Call(app, LARGE, "bob")
    await settled()
    assert waiting.asked == 0
    slow.give(b" ")
    await settled()
    assert waiting.asked == 1
    third = Call(app, LARGE, "cyd")
    await settled()
    waiting.give(b" ")
    waiting.leave()
    assert await waiting.answered() == "503 SERVICE_UNAVAILABLE"
    assert waiting.headers["retry-after"] == "30"
    third.finish()
    slow.finish(2)
    assert await third.answered() == await slow.answered() == "200 OK"


async def test_a_credential_is_judged_again_after_a_body_that_took_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.endpoint._JUDGED_FOR", 0.0)
    probe, judged = Probe(), 0

    async def judge(_request: Incoming) -> object:
        nonlocal judged
        judged += 1
        if judged > 1:
            raise errors.InvalidCredential("This API key was revoked.")
        return probe

    call = Call(make_app(probe, judge, bodies=Bodies(BOUNDS)), None)
    await settled()
    call.give(b'{"query": "mutation { touch }"}', more=False)
    assert await call.answered() == "401 UNAUTHENTICATED"
    assert (judged, probe.effects) == (2, 0)
