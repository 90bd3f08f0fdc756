"""The operations in the schema that PostGraphile makes of the tables, and its answers in the shape of the others'."""

from collections.abc import Callable, Mapping
from typing import Any

ME = """query Me {
  me {
    id email fullName username tier inviteValidated createdAt portfoliosByUserId { totalCount }
    limits { maxPortfolios maxAiMessages aiMessagesUsed aiMessagesRemaining aiMessagesResetAt }
    trialEndsAt
  }
}"""
SCANS = """query Scans {
  me {
    scansByUserId(first: %d, orderBy: [CREATED_AT_DESC, ROW_ID_DESC]) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges {
        cursor
        node {
          id tool target status severity startedAt finishedAt createdAt
          critical high medium low info
        }
      }
    }
  }
}"""
PORTFOLIOS = """query Portfolios {
  me {
    portfoliosByUserId(first: %d, orderBy: ROW_ID_ASC) {
      edges {
        node {
          id name currency
          positionsByPortfolioId(first: %d, orderBy: [ENTRY_DATE_DESC, ROW_ID_DESC]) {
            edges { node { id symbol quantity entryPrice entryDate investmentClass } }
          }
        }
      }
    }
  }
}"""
CREATE_SCAN = """mutation Push($input: PushScanInput!) {
  pushScan(input: $input) { id tool status created_at }
}"""
_COUNTS = ("critical", "high", "medium", "low", "info")

Data = Mapping[str, Any]


def read(root: str, data: Data) -> Data:
    """An answer to the operation with this root field, with the names of Gatehouse's schema."""
    return {root: _READERS[root](data)}


def _me(data: Data) -> Data:
    user = _renamed(data["me"], portfoliosByUserId="portfolioCount", trialEndsAt="trial")
    return {**user, "portfolioCount": user["portfolioCount"]["totalCount"], "trial": {"endsAt": user["trial"]}}


def _scans(data: Data) -> Data:
    connection = data["me"]["scansByUserId"]
    return {**connection, "edges": [{**edge, "node": _scan(edge["node"])} for edge in connection["edges"]]}


def _scan(node: Data) -> Data:
    kept = {name: value for name, value in node.items() if name not in _COUNTS}
    return {**kept, "findingCounts": {name: node[name] for name in _COUNTS}}


def _portfolios(data: Data) -> Data:
    edges = data["me"]["portfoliosByUserId"]["edges"]
    return {"edges": [{"node": _renamed(edge["node"], positionsByPortfolioId="positions")} for edge in edges]}


def _create_scan(data: Data) -> Data:
    return {"scan": _renamed(data["pushScan"], created_at="createdAt")}


def _renamed(data: Data, **names: str) -> Data:
    return {names.get(name, name): value for name, value in data.items()}


_READERS: Mapping[str, Callable[[Data], Data]] = {
    "me": _me,
    "scans": _scans,
    "portfolios": _portfolios,
    "createScan": _create_scan,
}
