"""The four operations: how each is asked for in the dialects of the contestants, and what is wanted of the answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers import postgraphile
from benchmarks.peers.dataset import PORTFOLIOS_EACH, POSITIONS_EACH, Scale

PAGE = 50
NEW_SCAN = {
    "tool": "bandit",
    "target": "https://git.example.test/team/service",
    "status": "COMPLETE",
    "startedAt": "2026-11-20T14:05:06.123456Z",
    "finishedAt": "2026-11-20T14:06:06.654321Z",
}
ME = """query Me {
  me {
    id email fullName username tier inviteValidated createdAt portfolioCount
    limits { maxPortfolios maxAiMessages aiMessagesUsed aiMessagesRemaining aiMessagesResetAt }
    trial { endsAt }
  }
}"""
SCANS = """query Scans {
  scans(first: %d) {
    totalCount
    pageInfo { hasNextPage endCursor }
    edges {
      cursor
      node {
        id tool target status severity startedAt finishedAt createdAt
        findingCounts { critical high medium low info }
      }
    }
  }
}"""
PORTFOLIOS = """query Portfolios {
  portfolios(first: %d) {
    edges {
      node {
        id name currency
        positions(first: %d) { edges { node { id symbol quantity entryPrice entryDate investmentClass } } }
      }
    }
  }
}"""
CREATE_SCAN = """mutation Push($input: CreateScanInput!) {
  createScan(input: $input) { scan { id tool status createdAt } }
}"""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, but for the token."""

    method: str
    path: str
    body: bytes = b""

    @classmethod
    def graphql(cls, query: str, variables: Mapping[str, Any] | None = None) -> "Request":
        asked = {"query": query} | ({"variables": variables} if variables else {})
        return cls("POST", "/graphql", json.dumps(asked).encode())


@dataclass(frozen=True, slots=True)
class Operation:
    """`graphql`, `rest` and `postgraphile` ask for the same; `numbers` are the users that ask."""

    key: str
    title: str
    root: str
    graphql: Request
    rest: Request
    postgraphile: Request
    numbers: Callable[[Scale], Sequence[int]]
    writes: bool = False


def scans_page(size: int) -> Operation:
    return Operation(
        "Q2",
        f"`scans(first: {size})`",
        "scans",
        Request.graphql(SCANS % size),
        Request("GET", f"/scans?first={size}"),
        Request.graphql(postgraphile.SCANS % size),
        lambda scale: scale.readers,
    )


OPERATIONS: Mapping[str, Operation] = {
    operation.key: operation
    for operation in (
        Operation(
            "Q1",
            "`me`",
            "me",
            Request.graphql(ME),
            Request("GET", "/me"),
            Request.graphql(postgraphile.ME),
            lambda scale: scale.anybody,
        ),
        scans_page(PAGE),
        Operation(
            "Q3",
            f"{PORTFOLIOS_EACH} portfolios × {POSITIONS_EACH} positions",
            "portfolios",
            Request.graphql(PORTFOLIOS % (PORTFOLIOS_EACH, POSITIONS_EACH)),
            Request("GET", f"/portfolios?first={PORTFOLIOS_EACH}&positions={POSITIONS_EACH}"),
            Request.graphql(postgraphile.PORTFOLIOS % (PORTFOLIOS_EACH, POSITIONS_EACH)),
            lambda scale: scale.readers,
        ),
        Operation(
            "M1",
            "`createScan`",
            "createScan",
            Request.graphql(CREATE_SCAN, {"input": NEW_SCAN}),
            Request("POST", "/scans", json.dumps(NEW_SCAN).encode()),
            Request.graphql(postgraphile.CREATE_SCAN, {"input": NEW_SCAN}),
            lambda scale: scale.writers,
            writes=True,
        ),
    )
}
