"""One request to `/chat/completions` through the openai library, read defensively. When to ask again is in llm."""

import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import httpx2
import openai

from integrations.llm_terms import MAX_ANSWER, TIMEOUT, Endpoint, Failure, Turn

CONNECT = 5.0
"""Seconds."""
MAX_BODY = 2 * 1024 * 1024
"""Bytes of one HTTP answer."""
MAX_CONNECTIONS = 64

_HEADERS = {"host", "accept", "content-type", "content-length", "connection", "user-agent", "authorization"}
_UNFIT = re.compile("[\x00\ud800-\udfff]")  # what Postgres cannot store as text
_KEY_SHAPE = re.compile(r"\b(?:sk|key|pk)-[\w-]{6,}")
_RETRY_AFTER = 10  # seconds, where a 429 does not say
_MAX_RETRY_AFTER = 3600
_CUT = "\n\n[The answer ends here: it was cut off at its longest.]"
_DECLINED = "The language model declined to answer this."

# The library takes its level from OPENAI_LOG when it is imported; what is logged here is said by LOG_LEVEL alone.
logging.getLogger("openai").setLevel(logging.WARNING)


class Completions:
    """One client of one endpoint. The key goes into its header and nowhere else."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(TIMEOUT, connect=CONNECT),
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=False,
            trust_env=False,
            event_hooks={"request": [self._own_headers], "response": [_bound]},
        )
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=endpoint.api_key, http_client=http, max_retries=0
        )

    async def answer(self, turns: Sequence[Turn]) -> str:
        """The text of the first choice; `Failure` when there is none."""
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        body = {"model": self._endpoint.model, "messages": messages}
        try:
            # The body as it came: of two megabytes of braces the library would build objects for half a minute.
            response = await self._client.post("/chat/completions", cast_to=httpx2.Response, body=body)
            return _text_of(json.loads(response.content))
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APIConnectionError as error:
            # Its text may hold the URL, and with it a password; the cause says enough.
            timed_out = isinstance(error, openai.APITimeoutError)
            raise Failure(f"no connection: {type(error.__cause__).__name__}", passing=not timed_out) from None
        except (openai.OpenAIError, ValueError, RecursionError) as error:
            raise Failure(f"not an answer: {type(error).__name__}") from None

    async def aclose(self) -> None:
        await self._client.close()

    async def _own_headers(self, request: httpx2.Request) -> None:
        # The library adds some that describe this machine, and whatever OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and
        # OPENAI_PROJECT_ID say; we are configured by CHAT_* alone.
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        request.headers["Authorization"] = f"Bearer {self._endpoint.api_key}"
        request.headers["User-Agent"] = "gatehouse"
        request.headers["Accept-Encoding"] = "identity"  # a few compressed bytes could become gigabytes

    def _refused(self, error: openai.APIStatusError) -> Failure:
        """What a status means. An answer to a bad key may repeat parts of the key, so its text is not kept."""
        status = error.status_code
        # Before it is cut, or a part of a key would no longer be known for one.
        whole = _UNFIT.sub("", error.message).replace(self._endpoint.api_key, "[redacted]")
        said = "" if status in (401, 403) else _KEY_SHAPE.sub("[redacted]", whole)[:300]
        reason = f"status {status} {said}".strip()
        if status == 429:
            return Failure(
                reason,
                public="The language model is busy. Try again in a moment.",
                passing=True,
                retry_after=_seconds(error.response.headers.get("Retry-After", "")),
            )
        return Failure(reason, passing=status >= 500)


def _seconds(wish: str) -> int:
    return min(max(int(wish), 1), _MAX_RETRY_AFTER) if re.fullmatch(r"[0-9]{1,9}", wish) else _RETRY_AFTER


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails above `MAX_BODY`."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._body:
            size += len(chunk)
            if size > MAX_BODY:
                raise Failure(f"the answer is over {MAX_BODY} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._body.aclose()


async def _bound(response: httpx2.Response) -> None:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Failure("the answer is compressed although we asked for it not to be")
    response.stream = _Bounded(cast("httpx2.AsyncByteStream", response.stream))


def _text_of(completion: object) -> str:
    """Of whatever JSON came: nothing in it need be where it should be."""
    choices = _field(completion, "choices")
    if not isinstance(choices, list) or not choices:
        raise Failure("the answer is not a chat completion")
    message, finish = _field(choices[0], "message"), _field(choices[0], "finish_reason")
    if finish == "content_filter":
        raise Failure("stopped by the content filter of the endpoint", public=_DECLINED)
    said = _field(message, "content") or _field(message, "refusal")
    text = _UNFIT.sub("\ufffd", said).strip() if isinstance(said, str) else ""
    if not text:
        raise Failure(f"the answer is empty, finish_reason {finish[:40] if isinstance(finish, str) else None!r}")
    if len(text) > MAX_ANSWER or finish == "length":
        return text[: MAX_ANSWER - len(_CUT)] + _CUT
    return text


def _field(document: object, name: str) -> Any:
    return document.get(name) if isinstance(document, dict) else None
