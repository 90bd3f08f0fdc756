"""The small GraphQL client of the tests: who asks, what, and what came back."""

from dataclasses import dataclass
from typing import Any, Protocol

import httpx


class Asker(Protocol):
    """Somebody with headers to ask with."""

    @property
    def headers(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Answer:
    """One answer; `code` is that of the first error."""

    status: int
    headers: httpx.Headers
    body: dict[str, Any]

    @property
    def data(self) -> Any:
        return self.body.get("data")

    @property
    def errors(self) -> list[dict[str, Any]]:
        return list(self.body.get("errors", []))

    @property
    def code(self) -> str | None:
        return self.errors[0]["extensions"]["code"] if self.errors else None

    @property
    def fields(self) -> dict[str, str]:
        """Of BAD_USER_INPUT: the message at each path."""
        return {fault["path"]: fault["message"] for fault in self.errors[0]["extensions"]["fields"]}


class Gql:
    """`who` is somebody with headers, plain headers, or None for nobody."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def __call__(self, who: Asker | dict[str, str] | None, document: str, **variables: Any) -> Answer:
        headers = who if isinstance(who, dict) else who.headers if who else {}
        accept = {"Accept": "application/graphql-response+json"}
        body = {"query": document, "variables": variables}
        response = await self.client.post("/graphql", json=body, headers=accept | headers)
        return Answer(response.status_code, response.headers, response.json())
