"""GraphQL over HTTP: one request, as often as it takes. Who asks, and what, is for others to say."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import orjson
from pydantic import ValidationError

from cli.sync import answers
from cli.sync.answers import Answer, Reply
from cli.sync.failures import Failure
from cli.sync.profiles import Connection

MAX_WAIT = 120.0
"""Seconds that are waited for one more attempt, at most; who is asked to wait longer is told so instead."""
_FIRST_WAIT, _LONGEST_BACKOFF = 0.5, 30.0
_MAX_ANSWER = 32 * 1024 * 1024
_PIECE = 64 * 1024

Asked = TypeVar("Asked", bound=Answer)


class Client:
    """A connection that is kept open over several requests; close it with `with`.

    `timeout` bounds each attempt, in seconds; `retries` says how many follow the first. `waiting` is told, for people,
    what went wrong and for how long is waited.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        timeout: float = 30,
        retries: int = 2,
        waiting: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._url, self._secret = connection.server.endpoint, connection.secret
        self._timeout, self._retries, self._waiting = timeout, retries, waiting
        self._http = httpx.Client(
            timeout=timeout,
            # Else a proxy would be sent the key in the open, for a server on this very machine.
            trust_env=not connection.server.is_direct,
            headers={
                "Authorization": f"Bearer {connection.secret}",
                "Accept": "application/graphql-response+json, application/json;q=0.9",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "gatehouse-sync",
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(
        self,
        document: str,
        answer: type[Asked],
        variables: Mapping[str, Any] | None = None,
        *,
        again_on: frozenset[str] = frozenset(),
        sent: Callable[[float], None] = lambda _part: None,
    ) -> Asked:
        """The data that a document is answered with; `Failure` otherwise, after `retries` where they may help.

        `again_on`: codes that are worth another attempt besides those that always are. `sent` is told which part of
        the request is on its way, from 0 to 1. A mutation is safe here only with an `idempotencyKey` in its variables.
        """
        body = orjson.dumps({"query": document, "variables": variables or {}})
        attempt = 0
        while True:
            try:
                return self._read(answers.data_of(self._attempt(body, sent)), answer)
            except Failure as failure:
                wait = self._pause(failure, attempt, again_on)
                if wait is None:
                    raise
                self._waiting(f"{failure.message} Again in {wait:.0f} s.")
            sleep(wait)
            attempt += 1

    def _read(self, data: Mapping[str, Any], answer: type[Asked]) -> Asked:
        try:
            return answer.model_validate(data)
        except ValidationError:
            raise answers.misshapen(self._url) from None

    def _pause(self, failure: Failure, attempt: int, again_on: frozenset[str]) -> float | None:
        """Seconds until the next attempt: twice as long each time, by chance up to half of it less, so that many who
        failed at once do not come back at once; never before the server says. None: it is over."""
        if attempt >= self._retries or not (failure.transient or failure.code in again_on):
            return None
        chance = secrets.SystemRandom().uniform(0.5, 1)
        backoff = min(_LONGEST_BACKOFF, _FIRST_WAIT * 2**attempt) * chance
        asked = failure.wait or 0.0
        return None if asked > MAX_WAIT else asked + backoff

    def _attempt(self, body: bytes, sent: Callable[[float], None]) -> Reply:
        try:
            with self._http.stream(
                "POST", self._url, content=_pieces(body, sent), headers={"Content-Length": str(len(body))}
            ) as response:
                content = self._body(response)
        except httpx.RequestError as error:
            raise answers.unanswered(error, self._url, self._timeout) from None
        found = response.headers.get
        location = found("location")
        return Reply(
            url=self._url,
            status=response.status_code,
            media_type=found("content-type", "").lower(),
            # Some that stand in between repeat what they were sent.
            body=content.replace(self._secret.encode(), b"(secret)"),
            retry_after=found("retry-after"),
            location=location and location.replace(self._secret, "(secret)"),
        )

    def _body(self, response: httpx.Response) -> bytes:
        deadline, content = monotonic() + self._timeout, bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > _MAX_ANSWER:
                raise Failure(
                    "NOT_GATEHOUSE", f"{self._url} answers without an end.", "Check GATEHOUSE_URL or the profile."
                )
            if monotonic() > deadline:
                raise httpx.ReadTimeout("drop by drop")
        return bytes(content)


def _pieces(body: bytes, sent: Callable[[float], None]) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE):
        sent(start / len(body))
        yield body[start : start + _PIECE]
    sent(1)
