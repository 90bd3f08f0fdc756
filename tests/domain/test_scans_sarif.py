"""SARIF 2.1.0: real scanners' files, and each thing that the specification lets a tool say in several ways."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import clock
import spelling
from db.models import ScanStatus, Severity
from domain.scans_results import MAX_MESSAGE, MAX_PATH, MAX_RULE, NewScan
from tests.domain.reports import PROJECT, everything, faults, one, real, result, sarif, scans

LEVELS = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW, "none": Severity.INFO}
UNKNOWN_SCORES: tuple[Any, ...] = ("0.0", "11", "-1", "high", "", True, None, [], "1e1", "٩")
INVOCATION = "runs[0].invocations[0]"


def the_scan(document: Any) -> NewScan:
    [scan] = scans(document if isinstance(document, str) else json.dumps(document))
    return scan


def severities(scan: NewScan) -> dict[str, int]:
    return Counter(str(finding.severity) for finding in scan.findings if not finding.suppressed)


def place(uri: str, base: str | None = None, **region: int) -> dict[str, Any]:
    artifact = {"uri": uri} if base is None else {"uri": uri, "uriBaseId": base}
    return {"locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}]}


def test_bandit() -> None:
    scan = the_scan(real("bandit.sarif"))
    assert (scan.tool, scan.tool_version, scan.status) == ("Bandit", "1.9.4", ScanStatus.COMPLETE)
    assert scan.finished_at == datetime(2025, 11, 26, 11, 16, 8, tzinfo=UTC)
    assert severities(scan) == {"HIGH": 2, "MEDIUM": 3, "LOW": 4}
    found = {finding.rule_id: finding for finding in scan.findings}
    shell = found["B602"]
    assert shell.message == "subprocess call with shell=True identified, security issue."
    assert (shell.path, *shell[5:9]) == ("shop/orders.py", 18, 5, 18, 59)
    assert shell.help_url is not None
    assert shell.help_url.startswith("https://bandit.readthedocs.io/")
    assert found["B311"].path == "shop/price list.py"


def test_what_bandit_calls_its_severity_is_the_level_again() -> None:
    results = json.loads(real("bandit.sarif"))["runs"][0]["results"]
    said = [each["properties"]["issue_severity"] for each in results]
    assert said == [finding.severity for finding in the_scan(real("bandit.sarif")).findings]


def test_checkov() -> None:
    scan = the_scan(real("checkov.sarif"))
    assert (scan.tool, scan.tool_version) == ("Checkov", "3.3.30")
    assert severities(scan) == {"HIGH": 35}
    assert {finding.path for finding in scan.findings} == {"Dockerfile", "deploy/bucket.tf", "deploy/shop.yaml"}
    [skipped] = [finding for finding in scan.findings if finding.suppressed]
    assert skipped.rule_id == "CKV_AWS_144"


def test_semgrep() -> None:
    scan = the_scan(real("semgrep.sarif"))
    assert (scan.tool, scan.tool_version) == ("Semgrep OSS", "1.185.0")
    assert [(finding.rule_id, finding.severity, finding.suppressed) for finding in scan.findings] == [
        ("shell-true", Severity.HIGH, False),
        ("unsafe-yaml", Severity.MEDIUM, False),
        ("predictable-random", Severity.LOW, True),
    ]
    assert {finding.fingerprint for finding in scan.findings} == {None}
    assert scan.findings[2].path == "shop/price list.py"


def test_ruff() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero", "--select", "S"]
    printed = subprocess.run(
        [*command, "--output-format", "sarif", "."], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    scan = the_scan(printed)
    assert scan.tool == "ruff"
    assert {"S105", "S301", "S307", "S324", "S506", "S602", "S608"} <= {str(each.rule_id) for each in scan.findings}
    assert {finding.path for finding in scan.findings} == {
        str(PROJECT / "shop/orders.py"),
        str(PROJECT / "shop/price list.py"),
    }


def test_everything_at_once() -> None:
    scan = the_scan(everything())
    assert scan.started_at == datetime(2025, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert scan.finished_at == datetime(2025, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert scan.target == "https://example.org/shop"
    assert scan.metadata == {
        "automationId": "nightly/1",
        "versionControl": [{"repositoryUri": "https://example.org/shop", "revisionId": "1a", "branch": "main"}],
        "otherResults": {"pass": 1},
    }
    [finding] = scan.findings
    assert tuple(finding) == (
        *(Severity.CRITICAL, "R1", "rule", "Found x in y.", "src/a b.py", 1, 2, 3, 4),
        *(Decimal("9.8"), "abc", "https://example.org/R1", False),
    )


@pytest.mark.parametrize("version", ["2.0.0", "1.0.0", "2.1.0-rtm.5", 2.1, None])
def test_another_version_is_named(version: Any) -> None:
    [(path, message)] = faults({"version": version, "runs": sarif()["runs"]}).items()
    assert path == "version"
    assert message.startswith(f'This is SARIF {json.dumps(version)}; only "2.1.0" is read')


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ({"runs": sarif()["runs"]}, "version", "The version of SARIF is not said"),
        ({"version": "2.1.0", "runs": []}, "runs", "There is no run"),
        ({"version": "2.1.0", "runs": {}}, "runs", "There is no run"),
        ({"version": "2.1.0", "runs": [None]}, "runs[0]", "An object, not null."),
        ({"version": "2.1.0", "runs": [{"results": []}]}, "runs[0].tool.driver.name", "is missing"),
        (sarif() | {"inlineExternalProperties": [{}]}, "inlineExternalProperties", "merge them"),
        (sarif(externalPropertyFileReferences={"results": []}), "runs[0].externalPropertyFileReferences", "one file"),
        (sarif(results={}), "runs[0].results", "An array, not an object."),
        (sarif("x"), "runs[0].results[0]", 'An object, not "x".'),
        (sarif({"ruleId": "R1"}), "runs[0].results[0].message", "There is no text"),
        (sarif(result(message={"id": "gone"})), "runs[0].results[0].message", "There is no text"),
        (sarif(result(message="text")), "runs[0].results[0].message", 'An object, not "text".'),
        (sarif(result(ruleId=7)), "runs[0].results[0].ruleId", "A text, not 7."),
        (sarif(result(level="fatal")), "runs[0].results[0].level", "error, warning, note, none"),
        (sarif(result(kind="bad")), "runs[0].results[0].kind", "pass, notApplicable"),
        (sarif(result(baselineState="old")), "runs[0].results[0].baselineState", "absent, not"),
        (sarif(result(suppressions=[{"status": "x"}])), "runs[0].results[0].suppressions[0].status", "accepted"),
        (
            sarif(result(**place("a", startLine="1"))),  # type: ignore[arg-type]  # what a tool would do wrong
            "runs[0].results[0].locations[0].physicalLocation.region.startLine",
            "A whole number",
        ),
        (
            sarif(rules=[{"id": "R1", "defaultConfiguration": {"level": "high"}}]),
            "runs[0].tool.driver.rules[0].defaultConfiguration.level",
            "A level is one of",
        ),
        (sarif(invocations=[{"executionSuccessful": "yes"}]), f"{INVOCATION}.executionSuccessful", "true or false"),
        (sarif(invocations=[{"endTimeUtc": "yesterday"}]), f"{INVOCATION}.endTimeUtc", "A time with its zone"),
        (sarif(invocations=[{"endTimeUtc": "2025-02-30T00:00:00Z"}]), f"{INVOCATION}.endTimeUtc", "A time"),
        (sarif(invocations=[{"endTimeUtc": "0001-01-01T00:00:00+05:00"}]), f"{INVOCATION}.endTimeUtc", "the years"),
        (
            sarif(invocations=[{"startTimeUtc": "2025-01-02T00:00:01Z", "endTimeUtc": "2025-01-02T00:00:00Z"}]),
            f"{INVOCATION}.endTimeUtc",
            "This is before startTimeUtc.",
        ),
        (
            sarif(invocations=[{"endTimeUtc": "2025-01-02T00:00:00Z"}, {"startTimeUtc": "2025-01-03T00:00:00Z"}]),
            "runs[0].invocations",
            "ends before the first one starts",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_place(document: Any, path: str, words: str) -> None:
    found = faults(document)
    assert words in found[path], found


def test_times_of_the_future_are_refused_but_clocks_may_be_fast() -> None:
    soon = spelling.moment(clock.now() + timedelta(minutes=4))
    assert the_scan(sarif(invocations=[{"endTimeUtc": soon}])).finished_at
    late = spelling.moment(clock.now() + timedelta(minutes=6))
    for name in ("startTimeUtc", "endTimeUtc"):
        assert "in the future" in faults(sarif(invocations=[{name: late}]))[f"{INVOCATION}.{name}"]


@pytest.mark.parametrize(
    "text", ["2025-01-02T03:04:05.1234567Z", "2025-01-02T05:04:05.123456+02:00", "2025-01-02T03:04:05.123456"]
)
def test_times_as_tools_write_them(text: str) -> None:
    at = datetime(2025, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)
    assert the_scan(sarif(invocations=[{"startTimeUtc": text}])).started_at == at


def test_a_run_of_several_processes_lasts_from_the_first_to_the_last() -> None:
    times = [("2025-01-01T00:00:01Z", "2025-01-01T00:00:09Z"), ("2025-01-01T00:00:00Z", "2025-01-01T00:00:02Z")]
    scan = the_scan(sarif(invocations=[{"startTimeUtc": start, "endTimeUtc": end} for start, end in times]))
    assert scan.started_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert scan.finished_at == datetime(2025, 1, 1, 0, 0, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("invocations", "status", "errors"),
    [
        ([], ScanStatus.COMPLETE, []),
        ([{"executionSuccessful": True}, {"executionSuccessful": False}], ScanStatus.FAILED, []),
        (
            [{"executionSuccessful": True, "toolExecutionNotifications": [{"level": "warning"}]}],
            ScanStatus.COMPLETE,
            [],
        ),
        (
            [{"toolConfigurationNotifications": [{"level": "error", "message": {"text": "No rules"}}]}],
            ScanStatus.FAILED,
            ["No rules"],
        ),
    ],
)
def test_a_run_failed_if_it_says_so_or_notes_an_error(invocations: Any, status: ScanStatus, errors: list[str]) -> None:
    scan = the_scan(sarif(invocations=invocations))
    assert scan.status == status
    assert (scan.metadata or {}).get("errors", []) == errors


@pytest.mark.parametrize(("level", "severity"), LEVELS.items())
def test_levels(level: str, severity: Severity) -> None:
    assert one(result(level=level)).severity == severity
    assert one(result(), rules=[{"id": "R1", "defaultConfiguration": {"level": level}}]).severity == severity
    override = {"descriptor": {"index": 0}, "configuration": {"level": level}}
    overridden = one(
        result(provenance={"invocationIndex": 0}),
        rules=[{"id": "R1", "defaultConfiguration": {"level": "note"}}],
        invocations=[{"ruleConfigurationOverrides": [override]}],
    )
    assert overridden.severity == severity


def test_without_a_level_it_is_a_warning_and_what_is_no_failure_has_none() -> None:
    assert one(result()).severity == Severity.MEDIUM
    for kind in ("open", "review"):
        assert one(result(kind=kind)).severity == Severity.INFO


@pytest.mark.parametrize(
    ("score", "severity", "stored"),
    [
        ("10.0", Severity.CRITICAL, "10.0"),
        ("9.0", Severity.CRITICAL, "9.0"),
        ("8.95", Severity.HIGH, "8.9"),
        (7, Severity.HIGH, "7.0"),
        ("6.9", Severity.MEDIUM, "6.9"),
        (4.0, Severity.MEDIUM, "4.0"),
        ("0.1", Severity.LOW, "0.1"),
        *((value, Severity.INFO, None) for value in UNKNOWN_SCORES),
    ],
)
def test_scores_as_github_reads_them(score: Any, severity: Severity, stored: str | None) -> None:
    properties = {"properties": {"security-severity": score}}
    for found in (
        one(result(level="none", **properties)),
        one(result(level="none"), rules=[{"id": "R1", **properties}]),
    ):
        assert found.severity == severity
        assert found.score == (None if stored is None else Decimal(stored))


def test_only_problems_of_the_present_are_findings() -> None:
    kinds = ["pass", "notApplicable", "informational", "fail", "open", "review", "pass"]
    states = ["new", "unchanged", "updated", "absent"]
    found = [*(result(kind=kind) for kind in kinds), *(result(baselineState=state) for state in states)]
    scan = the_scan(sarif(*found))
    assert len(scan.findings) == 6
    assert scan.metadata == {"otherResults": {"absent": 1, "informational": 1, "notApplicable": 1, "pass": 2}}


@pytest.mark.parametrize(
    ("statuses", "suppressed"),
    [
        ([], False),
        ([None], True),
        (["accepted"], True),
        (["underReview"], False),
        (["rejected"], False),
        (["rejected", None], True),
        (["underReview", "rejected"], False),
    ],
)
def test_suppressions(statuses: list[str | None], suppressed: bool) -> None:
    said = [{"kind": "external"} | ({"status": status} if status else {}) for status in statuses]
    assert one(result(suppressions=said)).suppressed is suppressed


PLUGIN = {"name": "plugin", "guid": "22222222-2222-1111-8888-222222222222", "rules": [{"id": "P0"}, {"id": "P1"}]}


@pytest.mark.parametrize(
    ("reference", "rule_id", "name"),
    [
        ({"ruleId": "A"}, "A", "a"),
        ({"ruleId": "A/sub/sub"}, "A/sub/sub", "a"),
        ({"ruleIndex": 1}, "B", "b"),
        ({"ruleId": "B", "ruleIndex": 0}, "B", "b"),
        ({"ruleId": "Z", "ruleIndex": 1}, "Z", "b"),
        ({"rule": {"index": 1}}, "B", "b"),
        ({"rule": {"id": "B/x"}}, "B/x", "b"),
        ({"rule": {"guid": "33333333-3333-1111-8888-333333333333"}}, "A", "a"),
        ({"ruleId": "P1"}, "P1", "p1"),
        ({"rule": {"index": 1, "toolComponent": {"index": 0}}}, "P1", "p1"),
        ({"rule": {"index": 1, "toolComponent": {"name": "plugin"}}}, "P1", "p1"),
        ({"ruleId": "P0", "rule": {"toolComponent": {"guid": PLUGIN["guid"]}}}, "P0", "p0"),
        ({"ruleId": "Z"}, "Z", None),
        ({"ruleIndex": 7}, None, None),
        ({"ruleIndex": -1}, None, None),
        ({}, None, None),
    ],
)
def test_rules_are_found_as_the_specification_says(
    reference: dict[str, Any], rule_id: str | None, name: str | None
) -> None:
    document = sarif(
        {"message": {"text": "m"}, **reference},
        rules=[{"id": "A", "name": "a", "guid": "33333333-3333-1111-8888-333333333333"}, {"id": "B", "name": "b"}],
    )
    plugin = PLUGIN | {"rules": [{"id": "P0", "name": "p0"}, {"id": "P1", "shortDescription": {"text": "p1"}}]}
    document["runs"][0]["tool"]["extensions"] = [plugin]
    [finding] = the_scan(document).findings
    assert (finding.rule_id, finding.rule_name) == (rule_id, name)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"text": "Plain {0}", "markdown": "*Marked*"}, "Plain {0}"),
        ({"markdown": "*Marked*"}, "*Marked*"),
        ({"text": "{0} and {1} and {{0}}", "arguments": ["x", "y"]}, "x and y and {0}"),
        ({"text": "{0} and {7}", "arguments": ["x"]}, "x and {7}"),
        ({"text": "{0}", "arguments": [["x"]]}, "an array"),
        ({"text": "{0}" * 150, "arguments": ["x"]}, "x" * 100 + "{0}" * 50),
        ({"id": "m", "arguments": ["x"]}, "Found x."),
        ({"id": "md"}, "*Found*"),
        (
            {"text": "This [value](1) comes from [here](https://a.example)."},
            "This value comes from [here](https://a.example).",
        ),
        ({"text": ""}, "Short"),
        ({"text": " a\r\n\tb\rc\x01\x1b[31m\u202e "}, "a\n\tb\nc\ufffd\ufffd[31m\ufffd"),
    ],
)
def test_messages(message: dict[str, Any], text: str) -> None:
    strings = {"m": {"text": "Found {0}."}, "md": {"markdown": "*Found*"}}
    rule = {"id": "R1", "shortDescription": {"text": "Short"}, "messageStrings": strings}
    assert one(result(message=message), rules=[rule]).message == text


BASES = {
    "ROOT": {"uri": "file:///C:/work/shop/"},
    "SRC": {"uri": "src/", "uriBaseId": "ROOT"},
    "HIDDEN": {"description": {"text": "not told"}},
    "LOOP": {"uri": "loop/", "uriBaseId": "LOOP"},
}


@pytest.mark.parametrize(
    ("uri", "base", "path"),
    [
        ("src/app.py", None, "src/app.py"),
        ("./src/app.py", None, "src/app.py"),
        ("../app.py", None, "../app.py"),
        ("price%20list.py", None, "price list.py"),
        ("price list.py", None, "price list.py"),
        ("caf%C3%A9.py", None, "café.py"),
        ("a%00b%0Ac%ff.py", None, "a\ufffdb c\ufffd.py"),
        ("app.py", "ROOT", "app.py"),
        ("lib/a.c", "SRC", "src/lib/a.c"),
        ("a.c", "HIDDEN", "a.c"),
        ("a.c", "%SRCROOT%", "a.c"),
        ("a.c", "LOOP", "loop/" * 10 + "a.c"),
        ("file:///C:/work/shop/src/a.c", None, "src/a.c"),
        ("file:///C:/other/a%20b.c", None, "C:/other/a b.c"),
        ("file:///home/me/a.py", None, "/home/me/a.py"),
        ("file:/home/me/a.py", None, "/home/me/a.py"),
        ("file://localhost/home/a.py", None, "/home/a.py"),
        ("file://server/share/a.py", None, "//server/share/a.py"),
        ("FILE:///x.py", None, "/x.py"),
        ("C:\\work\\a.py", None, "C:\\work\\a.py"),
        ("https://me:secret@example.org/a%20b", None, "https://example.org/a%20b"),
        ("pkg:pypi/jinja2@2.10", None, "pkg:pypi/jinja2@2.10"),
        ("x" * 5_000, None, "x" * (MAX_PATH - 1) + "…"),
    ],
)
def test_paths_that_a_person_recognises(uri: str, base: str | None, path: str) -> None:
    assert one(result(**place(uri, base)), originalUriBaseIds=BASES).path == path


def test_a_path_below_the_working_directory_is_relative() -> None:
    invocations = [{"executionSuccessful": True, "workingDirectory": {"uri": "file:///work/shop"}}]
    assert one(result(**place("file:///work/shop/a.py")), invocations=invocations).path == "a.py"
    assert one(result(**place("file:///work/shopping/a.py")), invocations=invocations).path == "/work/shopping/a.py"


def test_a_base_without_its_last_slash_is_a_folder_still() -> None:
    bases = {"ROOT": {"uri": "file:///work/shop"}, "SRC": {"uri": "src", "uriBaseId": "ROOT"}}
    assert one(result(**place("a.py", "SRC")), originalUriBaseIds=bases).path == "src/a.py"
    assert one(result(**place("file:///work/shopping/a.py")), originalUriBaseIds=bases).path == "/work/shopping/a.py"


@pytest.mark.parametrize(
    ("found", "path"),
    [
        ({"locations": [{"physicalLocation": {"artifactLocation": {"index": 1}}}]}, "src/b.py"),
        ({"locations": [{"physicalLocation": {"artifactLocation": {"index": 9}}}]}, None),
        ({"locations": [{"logicalLocations": [{"fullyQualifiedName": "shop.pay", "name": "pay"}]}]}, "shop.pay"),
        ({"locations": [{"logicalLocations": [{"index": 0}]}]}, "shop.orders"),
        ({"locations": [{}], "analysisTarget": {"uri": "a.py"}}, None),
        ({"locations": [], "analysisTarget": {"uri": "a.py"}}, "a.py"),
        ({"analysisTarget": {"uri": "a.py"}}, "a.py"),
        ({}, None),
    ],
)
def test_places_told_in_other_ways(found: dict[str, Any], path: str | None) -> None:
    artifacts = [{"location": {"uri": "a.py"}}, {"location": {"uri": "b.py", "uriBaseId": "SRC"}}]
    logical = [{"name": "orders", "fullyQualifiedName": "shop.orders"}]
    read = one(result(**found), artifacts=artifacts, logicalLocations=logical, originalUriBaseIds=BASES)
    assert read.path == path


def test_lines_and_columns_that_cannot_be_are_unknown() -> None:
    found = one(result(**place("a.py", startLine=0, startColumn=-1, endLine=2**40, endColumn=7)))
    assert found[5:9] == (None, None, None, 7)


@pytest.mark.parametrize(
    ("run", "target"),
    [
        ({}, None),
        ({"versionControlProvenance": [{"repositoryUri": "https://u:p@example.org/shop"}]}, "https://example.org/shop"),
        ({"originalUriBaseIds": BASES}, None),
        ({"originalUriBaseIds": {"%SRCROOT%": {"uri": "file:///home/me/my%20shop/"}}}, "my shop"),
        ({"originalUriBaseIds": {"X": {"uri": "https://example.org/a/"}}}, "https://example.org/a/"),
        ({"originalUriBaseIds": {"ROOTPATH": {"uri": "file:///"}}}, None),
        ({"originalUriBaseIds": {"X": {}}}, None),
    ],
)
def test_targets(run: dict[str, Any], target: str | None) -> None:
    if run.get("originalUriBaseIds") is BASES:
        target = "shop"
    assert the_scan(sarif(**run)).target == target


@pytest.mark.parametrize(
    ("prints", "fingerprint"),
    [
        ({"fingerprints": {"h/v1": "one", "h/v10": "ten", "h/v2": "two"}}, "ten"),
        ({"fingerprints": {"matchBasedId/v1": "requires login"}}, None),
        ({"partialFingerprints": {"a": "x", "primaryLocationLineHash": "39fa:1"}}, "39fa:1"),
        ({"partialFingerprints": {"b": "y", "a": "x"}}, "x"),
        ({"fingerprints": {"h": "whole"}, "partialFingerprints": {"a": "x"}}, "whole"),
        ({}, None),
    ],
)
def test_fingerprints(prints: dict[str, Any], fingerprint: str | None) -> None:
    assert one(result(**prints)).fingerprint == fingerprint


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://example.org/R1?a=1#b", True),
        ("HTTP://example.org", True),
        ("javascript:alert(1)", False),
        ("https://example.org/a b", False),
        ('https://example.org/"><script>', False),
        ("https://example.org/" + "x" * 1_000, False),
        ("R1.html", False),
    ],
)
def test_only_addresses_of_the_web_are_links(uri: str, kept: bool) -> None:
    assert one(result(), rules=[{"id": "R1", "helpUri": uri}]).help_url == (uri if kept else None)


def test_long_texts_are_cut_and_say_so() -> None:
    found = one(result(ruleId="r" * 5_000, message={"text": "m" * 5_000}), rules=[])
    assert found.rule_id == "r" * (MAX_RULE - 1) + "…"
    assert found.message == "m" * (MAX_MESSAGE - 1) + "…"
    scan = the_scan({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t\x07" * 90, "version": "v" * 200}}}]})
    assert len(scan.tool) == len(scan.tool_version or "") == 100
    assert scan.tool.startswith("t\ufffdt")


def test_what_is_null_is_as_good_as_none() -> None:
    names = ("ruleId", "ruleIndex", "rule", "kind", "level", "locations", "suppressions", "fingerprints", "properties")
    found = one({"message": {"text": "m"}} | dict.fromkeys(names), invocations=None, artifacts=None)
    assert found[0] == Severity.MEDIUM
    assert the_scan({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": None}]}).findings == []
