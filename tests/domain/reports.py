"""Reports for tests of their readers: real ones, one that has everything, and what must hold for whatever is read."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from db.models import ScanStatus, Severity
from domain.scans_report import read
from domain.scans_results import (
    MAX_FINDINGS,
    MAX_MESSAGE,
    MAX_PATH,
    MAX_RULE,
    MAX_SCANS,
    MAX_TARGET,
    MAX_TOOL,
    NewFinding,
    NewScan,
    Report,
)
from domain.scans_values import MAX_FAULTS, PATH

FIXTURES = Path(__file__).parents[1] / "fixtures"
PROJECT = FIXTURES / "vulnerable"

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["error", "fail", "2.1.0", "file:///C:/a%00b", "../x", "HIGH", "{0}{{", "2026-02-30T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def real(name: str) -> str:
    """What a real scanner wrote."""
    return (FIXTURES / "scans" / name).read_text()


def scans(text: str) -> list[NewScan]:
    report = read(text)
    assert report.faults == []
    return report.scans


def faults(value: Any) -> dict[str, str]:
    """The messages about a report, a text or a value, by path below that of the report."""
    report = read(value if isinstance(value, str) else json.dumps(value))
    assert report.scans == []
    assert report.faults
    return {fault.path.removeprefix(PATH).removeprefix("."): fault.message for fault in report.faults}


def result(**more: Any) -> dict[str, Any]:
    return {"ruleId": "R1", "message": {"text": "Something"}, **more}


def sarif(*results: Any, rules: Any = (), **run: Any) -> dict[str, Any]:
    driver = {"name": "scanner", "rules": list(rules)}
    return {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]}


def one(found: dict[str, Any], rules: Any = (), **run: Any) -> NewFinding:
    """The one finding of a run with one result."""
    [scan] = scans(json.dumps(sarif(found, rules=rules, **run)))
    [finding] = scan.findings
    return finding


def everything() -> dict[str, Any]:
    """A file with all that is read."""
    rule = {
        "id": "R1",
        "guid": "11111111-1111-1111-8888-111111111111",
        "name": "rule",
        "shortDescription": {"text": "Short"},
        "fullDescription": {"text": "Full"},
        "helpUri": "https://example.org/R1",
        "defaultConfiguration": {"level": "note"},
        "messageStrings": {"default": {"text": "Found {0} in {1}."}},
        "properties": {"security-severity": "8.1"},
    }
    found = result(
        ruleIndex=0,
        rule={"id": "R1", "index": 0, "toolComponent": {"index": 0, "name": "plugin"}},
        kind="fail",
        level="error",
        message={"id": "default", "arguments": ["x", "y"]},
        locations=[
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "a%20b.py", "uriBaseId": "SRC", "index": 0},
                    "region": {"startLine": 1, "startColumn": 2, "endLine": 3, "endColumn": 4},
                },
                "logicalLocations": [{"fullyQualifiedName": "a.b", "index": 0}],
            }
        ],
        suppressions=[{"kind": "inSource", "status": "underReview"}],
        fingerprints={"hash/v1": "abc"},
        partialFingerprints={"primaryLocationLineHash": "def:1"},
        baselineState="new",
        provenance={"invocationIndex": 0},
        properties={"security-severity": "9.8"},
    )
    override = {"descriptor": {"id": "R1"}, "configuration": {"level": "error"}}
    file = sarif(found, result(kind="pass"), rules=[rule])
    file["runs"][0]["tool"]["extensions"] = [{"name": "plugin", "rules": [rule]}]
    file["runs"][0] |= {
        "invocations": [
            {
                "executionSuccessful": True,
                "startTimeUtc": "2025-01-02T03:04:05.678Z",
                "endTimeUtc": "2025-01-02T03:04:06Z",
                "workingDirectory": {"uri": "file:///work"},
                "toolExecutionNotifications": [{"level": "warning", "message": {"text": "Slow"}}],
                "ruleConfigurationOverrides": [override],
            }
        ],
        "artifacts": [{"location": {"uri": "c.py"}}],
        "logicalLocations": [{"name": "a"}],
        "originalUriBaseIds": {"ROOT": {"uri": "file:///work/shop/"}, "SRC": {"uri": "src/", "uriBaseId": "ROOT"}},
        "automationDetails": {"id": "nightly/1"},
        "versionControlProvenance": [
            {"repositoryUri": "https://example.org/shop", "revisionId": "1a", "branch": "main"}
        ],
    }
    return file


def steps(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and its name or index there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [step for name, part in inner for step in [(value, name), *steps(part)]]


@st.composite
def mutated(draw: st.DrawFn, base: Any) -> Any:
    """A document with some of its values replaced or left out."""
    document = json.loads(json.dumps(base))
    for _ in range(draw(st.integers(1, 3))):
        holder, name = draw(st.sampled_from(steps(document)))
        if draw(st.booleans()):
            holder[name] = draw(JSON)
        else:
            del holder[name]
        if not steps(document):
            break
    return document


def storable(report: Report) -> None:
    """Fails where a report is neither scans that the tables take nor faults that say something."""
    assert bool(report.scans) is not bool(report.faults)
    assert len(report.faults) <= MAX_FAULTS + 1
    for fault in report.faults:
        assert fault.path.startswith(PATH)
        assert fault.message.endswith((".", "FILE", "DIRECTORY"))
        assert len(str(fault)) < 2_000
    assert len(report.scans) <= MAX_SCANS
    assert sum(len(scan.findings) for scan in report.scans) <= MAX_FINDINGS
    for scan in report.scans:
        assert 1 <= len(scan.tool) <= MAX_TOOL
        assert len(scan.tool_version or "") <= MAX_TOOL
        assert scan.target is None or 1 <= len(scan.target) <= MAX_TARGET
        assert scan.status in ScanStatus
        assert not (scan.started_at and scan.finished_at) or scan.started_at <= scan.finished_at
        json.dumps(scan.metadata, allow_nan=False)
        for finding in scan.findings:
            _storable(finding)


def _storable(finding: NewFinding) -> None:
    assert finding.severity in Severity
    assert finding.score is None or 0 <= finding.score <= 10
    bounds = {"message": MAX_MESSAGE, "path": MAX_PATH, "help_url": MAX_PATH}
    for name, value in finding._asdict().items():
        if isinstance(value, str) and name != "severity":
            assert 1 <= len(value) <= bounds.get(name, MAX_RULE), name
            assert "\0" not in value
            value.encode()
        elif isinstance(value, int) and name != "suppressed":
            assert 1 <= value <= 2**31 - 1, name
