"""Scans for tests: reports as scanners write them, and pushing them as clients do."""

from typing import Any

import orjson

from tests.gql import Answer, Asker, Gql

CREATE = """mutation($input: CreateScanInput!) { createScan(input: $input) {
  created quota { used } scan { id } scans { id tool target severity
    findingCounts { critical high medium low info suppressed total } }
} }"""


def report(*tools: str, findings: int = 1, **more: Any) -> str:
    """A report in Gatehouse's own format with a scan of each tool."""
    found = [
        {"ruleId": f"R{number}", "severity": "HIGH", "message": f"Finding {number}", "path": "app.py", "startLine": 1}
        for number in range(findings)
    ]
    scans = [{"tool": tool, "findings": found, **more} for tool in tools]
    return orjson.dumps({"format": "gatehouse-scan", "version": 1, "scans": scans}).decode()


async def push(gql: Gql, who: Asker | dict[str, str] | None, text: str, **said: Any) -> Answer:
    """Push a report."""
    return await gql(who, CREATE, input={"report": text, **said})


async def told(gql: Gql, who: Asker, tool: str = "bandit", **said: Any) -> str:
    """The id of a new scan, told field by field."""
    answer = await gql(who, CREATE, input={"tool": tool, **said})
    assert not answer.errors, answer.errors
    return str(answer.data["createScan"]["scan"]["id"])


def finding(severity: str = "HIGH", **more: Any) -> dict[str, Any]:
    return {"severity": severity, "message": f"Something {severity.lower()}", **more}
