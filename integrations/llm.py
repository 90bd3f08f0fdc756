"""A language model behind any OpenAI-compatible endpoint: what is asked, for how long, and how it fails.

The library that speaks to it is used in `integrations.completions` only; what is asked for whom is in domain.
"""

import asyncio
from collections.abc import Sequence

import structlog

from errors import RateLimited, UpstreamFailed
from integrations.llm_terms import TIMEOUT, Client, Endpoint, Failure, Turn

PATIENCE = 5
"""Seconds: a server that wants to be left alone for longer is not asked a second time."""
PAUSE = 0.5
"""Seconds before the second attempt, where the server did not say."""
MAX_TURNS = 100
MAX_REQUEST = 200_000
"""Characters of all turns together."""

_log = structlog.get_logger(__name__)


class Llm:
    """Asks one model. Made without a loop and without connecting; `aclose` gives everything back."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._opened: Client | None = None
        self._opening = asyncio.Lock()

    async def answer(self, turns: Sequence[Turn]) -> str:
        """What the model says next: 1 to `MAX_ANSWER` characters that Postgres takes.

        `RateLimited` when the endpoint wants to be left alone for a while, `UpstreamFailed` for every other failure;
        their words are for the person who asked, the reason goes to the log.
        """
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._answer(turns)
        except TimeoutError:
            failure = Failure(f"no answer within {TIMEOUT:g} seconds")
        except Failure as error:
            failure = error
        _log.warning("llm.failed", reason=failure.reason, host=self._endpoint.host, model=self._endpoint.model)
        if failure.retry_after is not None:
            raise RateLimited(failure.public, failure.retry_after)
        raise UpstreamFailed(failure.public)

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()

    async def _answer(self, turns: Sequence[Turn]) -> str:
        if len(turns) > MAX_TURNS or sum(len(turn.content) for turn in turns) > MAX_REQUEST:
            raise Failure("the request is larger than we send", public="The conversation is too long to be answered.")
        client = await self._client()
        try:
            return await client.answer(turns)
        except Failure as failure:
            if not failure.passing or (failure.retry_after or 0) > PATIENCE:
                raise
            pause = failure.retry_after or PAUSE
        await asyncio.sleep(pause)
        return await client.answer(turns)

    async def _client(self) -> Client:
        async with self._opening:
            if self._opened is None:
                # In a thread: importing the library takes half a second, and reading the system's roots some more.
                self._opened = await asyncio.to_thread(_open, self._endpoint)
            return self._opened


def _open(endpoint: Endpoint) -> Client:
    # Imported at first use: 25 MiB that only a deployment with a model needs.
    from integrations.completions import Completions  # noqa: PLC0415

    return Completions(endpoint)
