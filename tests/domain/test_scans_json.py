"""Gatehouse's own JSON: schema and reader agree, and whatever is misspelled is a fault that says what is known."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clock
import spelling
from db.models import ScanStatus, Severity
from domain import scans_json
from domain.scans_report import read
from domain.scans_results import MAX_FINDINGS, MAX_MESSAGE, MAX_PATH, MAX_SCANS
from domain.scans_values import MAX_NUMBER
from tests.domain.reports import JSON, faults, mutated, scans, storable

SCHEMA = json.loads(scans_json.schema_text())
SCAN = SCHEMA["$defs"]["scan"]["properties"]
FINDING = SCHEMA["$defs"]["finding"]["properties"]
PLAIN = {"severity": "HIGH", "message": "Something"}
TYPES: dict[str, Any] = {"string": str, "null": type(None), "object": dict, "array": list, "boolean": bool}


def own(*findings: Any, **more: Any) -> dict[str, Any]:
    return {"format": "gatehouse-scan", "version": 1, "tool": "mine", "findings": list(findings), **more}


def valid(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a part of the schema allows."""
    if "$ref" in schema:
        return valid(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return st.one_of(*(_of_type(kind, schema) for kind in types))


def _of_type(kind: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    if kind == "string" and schema.get("format") == "date-time":
        past = st.datetimes(max_value=clock.now().replace(tzinfo=None) - timedelta(days=1), timezones=st.just(UTC))
        return past.map(lambda at: at.isoformat().replace("+00:00", "Z"))
    if kind == "string" and "pattern" in schema:
        return texts.map(lambda text: f"https://{''.join(filter(str.isalnum, text))}x")
    if kind == "array":
        return st.lists(valid(schema["items"]), max_size=3)
    if kind == "object" and "properties" in schema:
        members = {name: valid(each) for name, each in schema["properties"].items()}
        required = {name: members.pop(name) for name in schema["required"]}
        return st.fixed_dictionaries(required, optional=members)
    return {
        "string": texts,
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(schema.get("minimum"), schema.get("maximum")),
        "number": st.floats(schema.get("minimum"), schema.get("maximum")),
        "object": st.dictionaries(texts, st.integers(0, 9) | texts, max_size=3),
    }[kind]


def ordered(scan: dict[str, Any]) -> dict[str, Any]:
    """What no schema can say: that a scan does not end before it starts."""
    if scan.get("startedAt") and scan.get("finishedAt"):
        scan["startedAt"], scan["finishedAt"] = scan["startedAt"], scan["startedAt"]
    return scan


VALID_SCANS = valid(SCHEMA["$defs"]["scan"]).map(ordered)
HEAD = {"format": SCHEMA["properties"]["format"]["const"], "version": SCHEMA["properties"]["version"]["const"]}


@given(VALID_SCANS, st.lists(VALID_SCANS, min_size=1, max_size=3))
def test_what_the_schema_allows_is_read(scan: dict[str, Any], several: list[dict[str, Any]]) -> None:
    for document, count in (
        (HEAD | scan, 1),
        ({**HEAD, "$schema": "scan.schema.json", "scans": several}, len(several)),
    ):
        report = read(json.dumps(document))
        assert report.faults == []
        assert len(report.scans) == count
        storable(report)


def test_the_schema_has_the_members_and_the_bounds_of_the_reader() -> None:
    assert set(SCHEMA["properties"]) == set(scans_json.FILE_MEMBERS)
    assert tuple(SCAN) == scans_json.SCAN_MEMBERS
    assert tuple(FINDING) == scans_json.FINDING_MEMBERS
    assert HEAD == {"format": scans_json.FORMAT, "version": scans_json.VERSION}
    assert FINDING["severity"]["enum"] == list(Severity)
    assert SCAN["status"]["enum"] == [*ScanStatus, None]
    assert SCAN["findings"]["maxItems"] == MAX_FINDINGS
    assert SCHEMA["oneOf"][1]["properties"]["scans"]["maxItems"] == MAX_SCANS
    assert SCHEMA["$defs"]["position"]["maximum"] == MAX_NUMBER
    assert FINDING["helpUrl"]["maxLength"] == MAX_PATH
    assert f"at most {scans_json.MAX_METADATA} bytes" in SCAN["metadata"]["description"]


@pytest.mark.parametrize(
    ("within", "name"),
    [
        *(("", name) for name in SCHEMA["$defs"]["scan"]["required"]),
        ("findings[0].", "severity"),
        ("findings[0].", "message"),
    ],
)
def test_what_the_schema_requires_is_required(within: str, name: str) -> None:
    for left_out in (True, False):
        document = own(dict(PLAIN))
        holder = document["findings"][0] if within else document
        holder[name] = None
        if left_out:
            del holder[name]
        assert faults(document) == {f"{within}{name}": "This is missing."}


def _types() -> list[Any]:
    parts = [("", name, each) for name, each in SCAN.items()] + [("findings[0].", *item) for item in FINDING.items()]
    return [pytest.param(*part, id=f"{part[0]}{part[1]}") for part in parts]


@pytest.mark.parametrize(("within", "name", "schema"), _types())
def test_other_types_than_those_of_the_schema_are_faults(within: str, name: str, schema: dict[str, Any]) -> None:
    schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    types = schema.get("type", ["string", "null"])
    for value in ("text", 1.5, True, {"a": 1}, [1]):
        kind = {str: "string", float: "number", bool: "boolean", dict: "object", list: "array"}[type(value)]
        if kind in types or (kind == "number" and "integer" in types):
            continue
        document = own(dict(PLAIN))
        (document["findings"][0] if within else document)[name] = value
        assert list(faults(document)) == [f"{within}{name}"]


@given(
    mutated(own(PLAIN, {**PLAIN, "startLine": 1, "score": 9.8}, status="COMPLETE", startedAt="2025-01-02T00:00:00Z"))
)
def test_mutated_documents_are_scans_or_faults(value: Any) -> None:
    storable(read(json.dumps(value)))


@given(
    st.text(min_size=1, max_size=12).filter(lambda name: name not in {*SCAN, *FINDING, *SCHEMA["properties"], "scans"}),
    JSON,
)
def test_unknown_members_are_faults(name: str, value: Any) -> None:
    for document in (own(**{name: value}), own({**PLAIN, name: value}), HEAD | {"scans": [], name: value}):
        assert read(json.dumps(document)).faults


def test_every_member_at_its_place() -> None:
    finding = {
        "ruleId": "R1",
        "ruleName": "rule",
        "severity": "critical",
        "message": "Two\nlines",
        "path": "a.py",
        "startLine": 1,
        "startColumn": 2,
        "endLine": 3,
        "endColumn": 4.0,
        "score": 9.87,
        "fingerprint": "abc",
        "helpUrl": "https://example.org/R1",
        "suppressed": True,
    }
    run = {
        "toolVersion": "1.0",
        "target": "shop",
        "status": "failed",
        "metadata": {"branch": "main"},
        "startedAt": "2025-01-02T03:04:05+01:00",
        "finishedAt": "2025-01-02T02:04:06Z",
    }
    [scan] = scans(json.dumps(own(finding, **run)))
    assert (scan.tool, scan.tool_version, scan.target, scan.status) == ("mine", "1.0", "shop", ScanStatus.FAILED)
    assert scan.started_at == datetime(2025, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert scan.finished_at == datetime(2025, 1, 2, 2, 4, 6, tzinfo=UTC)
    assert scan.metadata == {"branch": "main"}
    assert [tuple(each) for each in scan.findings] == [
        (
            *(Severity.CRITICAL, "R1", "rule", "Two\nlines", "a.py", 1, 2, 3, 4),
            *(Decimal("9.8"), "abc", "https://example.org/R1", True),
        )
    ]


def test_a_scan_without_findings_is_a_scan() -> None:
    [scan] = scans(json.dumps(own()))
    assert (scan.findings, scan.metadata, scan.status) == ([], None, ScanStatus.COMPLETE)


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        (own() | {"version": 2}, "version", "Only version 1 of gatehouse-scan is known, not 2."),
        (own() | {"version": True}, "version", "not true"),
        (HEAD | {"scans": []}, "scans", "From 1 to 100 scans in one file, not 0."),
        (HEAD | {"scans": None}, "scans", "This is missing."),
        (HEAD | {"scans": [{"tool": "mine", "findings": [], "format": 1}]}, "scans[0].format", "no such member"),
        (HEAD | {"scans": [own()["tool"]]}, "scans[0]", 'An object, not "mine".'),
        (own() | {"scans": [own()]}, "tool", "no such member"),
        (
            own({**PLAIN, "severity": "SEVERE"}),
            "findings[0].severity",
            'CRITICAL, HIGH, MEDIUM, LOW, INFO, not "SEVERE"',
        ),
        (own({**PLAIN, "severty": "HIGH"}), "findings[0].severty", "there are ruleId, ruleName, severity"),
        (own({**PLAIN, "message": " \n"}), "findings[0].message", "A text that is not empty."),
        (own(tool="\t"), "tool", "A text that is not empty."),
        (own({**PLAIN, "startLine": 0}), "findings[0].startLine", "A number from 1 to 2147483647, not 0."),
        (own({**PLAIN, "endColumn": 2**31}), "findings[0].endColumn", "A number from 1"),
        (own({**PLAIN, "startLine": 1.5}), "findings[0].startLine", "A whole number, not 1.5."),
        (own({**PLAIN, "score": 10.1}), "findings[0].score", "A number from 0 to 10, not 10.1."),
        (own({**PLAIN, "score": "9.8"}), "findings[0].score", "A number from 0 to 10"),
        (own({**PLAIN, "helpUrl": "javascript:alert(1)"}), "findings[0].helpUrl", "begins with https://"),
        (own(status="DONE"), "status", 'One of COMPLETE, FAILED, not "DONE".'),
        (own(metadata={"log": "x" * 20_000}), "metadata", "At most 16384 bytes"),
        (own(startedAt="2025-01-02T00:00:00"), "startedAt", "A time with its zone"),
        (own(startedAt="2025-01-02"), "startedAt", "A time with its zone"),
        (own(startedAt="yesterday"), "startedAt", 'not "yesterday"'),
        (own(startedAt="2025-01-02T00:00:01Z", finishedAt="2025-01-02T00:00:00Z"), "finishedAt", "before startedAt"),
        (own(**{"a" * 100 + "\n": 1}), "a" * 39 + "…", "no such member"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(document: Any, path: str, words: str) -> None:
    found = faults(document)
    assert words in found[path], found


def test_times_of_the_future_are_refused() -> None:
    late = spelling.moment(clock.now() + timedelta(minutes=6))
    found = faults(own(startedAt=late, finishedAt=late))
    assert set(found) == {"startedAt", "finishedAt"}
    assert f"{late} is in the future, it is " in found["startedAt"]


def test_every_fault_is_said_at_once() -> None:
    bad = {"severity": "bad", "mesage": "m", "startLine": "x"}
    assert set(faults(own(PLAIN, bad, tool=7))) == {
        "tool",
        *(f"findings[1].{name}" for name in ("severity", "mesage", "message", "startLine")),
    }


def test_long_texts_are_cut() -> None:
    [scan] = scans(json.dumps(own({**PLAIN, "message": "m" * 5_000}, tool="t" * 500)))
    assert scan.tool == "t" * 99 + "…"
    assert scan.findings[0].message == "m" * (MAX_MESSAGE - 1) + "…"
