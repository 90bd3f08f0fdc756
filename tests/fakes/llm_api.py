"""An OpenAI-compatible endpoint as far as it is asked, over real HTTP on loopback."""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.clerk_api import answer as http_answer

API_KEY = "sk-fakeFakeFake"
MODEL = "fake-1"


def completion(content: object = "Hello.", *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A whole answer as the API has it."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content} | message,
        "logprobs": None,
        "finish_reason": finish,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795000000,
        "model": MODEL,
        "choices": [choice],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def answer(status: int, document: object = None, **headers: str) -> bytes:
    """An HTTP answer as bytes, JSON unless told otherwise; `retry_after="3"` becomes the header Retry-After."""
    return http_answer(status, document, **({"content_type": "application/json"} | headers))


@dataclass
class FakeLlm:
    """Answers each question with `say(its messages)`; `script` holds raw answers that come first, one per call."""

    base_url: str
    say: Callable[[list[dict[str, str]]], str] = lambda _messages: "Hello."
    script: deque[bytes] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)
    """The request lines, in order."""
    sent: list[dict[str, str]] = field(default_factory=list)
    """The headers of each call, names in lower case."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The body of each call."""
    hanging: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at each call."""
    at_once: int = 0
    """How many questions hang now."""
    _go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def let_go(self) -> None:
        """Answer what hangs, and from now on everything."""
        self.hanging = False
        self._go_on.set()

    async def hang(self) -> None:
        self.at_once += 1
        await self._go_on.wait()
        self.at_once -= 1

    def answer(self) -> bytes:
        return self.script.popleft() if self.script else answer(200, completion(self.say(self.asked[-1]["messages"])))


@asynccontextmanager
async def fake_llm() -> AsyncIterator[FakeLlm]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            fake.calls.append(re.sub(" HTTP/1.1$", "", head[0]))
            fake.sent.append(headers)
            fake.asked.append(json.loads(body) if body else {})
            fake.reached.set()
            if fake.hanging:
                await fake.hang()
            writer.write(fake.answer())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client gave up, which some tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    fake = FakeLlm(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    try:
        yield fake
    finally:
        fake.let_go()
        server.close()
        await server.wait_closed()
