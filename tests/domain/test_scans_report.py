"""Reports of any kind: which format they have, what is said about those that are not read, and bounds."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.scans_report import read
from domain.scans_results import MAX_FINDINGS, MAX_SCANS
from domain.scans_values import MAX_CHARACTERS, MAX_FAULTS
from tests.domain.reports import JSON, everything, faults, mutated, real, result, sarif, scans, storable

OWN: dict[str, Any] = {"format": "gatehouse-scan", "version": 1, "tool": "mine", "findings": []}


def the_fault(text: str) -> str:
    [(path, message)] = faults(text).items()
    assert path == ""
    return message


@given(st.text())
def test_any_text_is_faults(text: str) -> None:
    storable(read(text))


@given(JSON)
def test_any_value_is_scans_or_faults(value: Any) -> None:
    storable(read(json.dumps(value)))


@given(st.fixed_dictionaries({"version": st.just("2.1.0"), "runs": st.lists(JSON, max_size=3)}))
def test_any_runs_are_scans_or_faults(value: Any) -> None:
    storable(read(json.dumps(value)))


@given(mutated(everything()))
def test_mutated_sarif_is_scans_or_faults(value: Any) -> None:
    storable(read(json.dumps(value)))


@given(st.data())
def test_a_real_report_with_a_piece_cut_out_is_scans_or_faults(data: st.DataObject) -> None:
    text = real("bandit.sarif")
    start = data.draw(st.integers(0, len(text)))
    storable(read(text[:start] + text[data.draw(st.integers(start, min(start + 40, len(text)))) :]))


def test_a_byte_order_mark_is_no_matter() -> None:
    assert scans("\ufeff" + json.dumps(OWN))[0].tool == "mine"
    assert scans("\ufeff" + real("bandit.sarif"))[0].tool == "Bandit"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The report is empty"),
        (" \n\t ", "The report is empty"),
        ("hello", "not JSON: unexpected character, expected a JSON value, at line 1, column 1"),
        (real("bandit.sarif")[:5_000], "it ends too early, at line 160, column 11"),
        (real("checkov.sarif")[:-1], "Let the tool finish, and send the whole file."),
        ('{"a": 1}\n{"b": 2}\n', "unexpected content after document, at line 2, column 1"),
        ("[" * 200 + "]" * 200, "nests deeper than 100 levels"),
        ('{"version": "2.1.0", "runs": [], "runs": []}', 'two members "runs" in one object'),
        (r'{"runs": "\ud800"}', "half of a surrogate pair in a string, at line 1"),
        ("\n\ud800", "Half of a surrogate pair in line 2"),
        (r'{"runs": "\u0000"}', "U+0000 in a string, at line 1"),
        ("x" * 10_000_000, "This is not JSON: a report begins with {"),
        ("rule,file,line\n" * 700_000, "This looks like CSV"),
        ('{"runs": "' + "x" * 10_000_000, "it ends too early, at line 1, column 10000011"),
    ],
)
def test_what_is_not_json_is_said_with_its_place(text: str, words: str) -> None:
    assert words in the_fault(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<?xml version="1.0" encoding="utf-8"?>\n<testsuites><testsuite/></testsuites>', "JUnit's XML"),
        ('<testsuite name="bandit">', "JUnit's XML"),
        ("<!DOCTYPE html><html>", "an HTML page"),
        ("<?xml version='1.0'?><report/>", "XML"),
        ("rule,file,line\r\nB101,app.py,1\r\n", "CSV"),
        ('"filename","test_name","test_id"\n', "CSV"),
        ("PK\x03\x04\x00", "a compressed file"),
        ("\ufffe{\0}\0" + "\0 " * 10, "not a text in UTF-8"),
    ],
)
def test_other_texts_are_named(text: str, words: str) -> None:
    assert words in the_fault(text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"errors": [], "generated_at": "", "metrics": {}, "results": []}, "bandit -r . -f sarif -o FILE"),
        ({"errors": [], "paths": {}, "results": [], "version": "1.185.0"}, "semgrep scan --sarif --sarif-output FILE"),
        ({"check_type": "dockerfile", "results": {}}, "checkov -d . -o sarif"),
        ([{"check_type": "dockerfile", "results": {}}], "checkov -d . -o sarif"),
        ({"passed": 0, "failed": 0, "skipped": 0, "checkov_version": "3"}, "checkov -d . -o sarif"),
        ({"SchemaVersion": 2, "ArtifactName": ".", "Results": []}, "trivy fs --format sarif"),
        ([{"filePath": "a.js", "messages": []}], "@microsoft/eslint-formatter-sarif"),
        ([{"code": "S602", "filename": "a.py", "location": {}}], "ruff check --output-format sarif"),
        ({"plugins_used": [], "results": {}, "version": "1.5.0"}, "docs/scans.md"),
        ({"dependencies": [], "fixes": []}, "docs/scans.md"),
        ({"tool": "mine", "findings": []}, 'begin it with "format": "gatehouse-scan"'),
        ({"bomFormat": "CycloneDX", "specVersion": "1.6"}, "a CycloneDX bill of materials"),
        ({"one": 1, "two": 2}, 'an object with "one", "two"'),
        ({}, "an object with nothing"),
        ([{"one": 1}], 'an array of objects with "one"'),
        ([], "only an array"),
        (None, "only null"),
        ("text", 'only "text"'),
    ],
)
def test_other_json_is_named_with_what_to_do(value: Any, words: str) -> None:
    assert words in the_fault(json.dumps(value))


def test_runs_have_a_bound() -> None:
    run = {"tool": {"driver": {"name": "t"}}}
    assert len(scans(json.dumps({"version": "2.1.0", "runs": [run] * MAX_SCANS}))) == MAX_SCANS
    assert "At most 100 runs" in faults({"version": "2.1.0", "runs": [run] * (MAX_SCANS + 1)})["runs"]
    scan = {"tool": "mine", "findings": []}
    own = {"format": "gatehouse-scan", "version": 1}
    assert len(scans(json.dumps(own | {"scans": [scan] * MAX_SCANS}))) == MAX_SCANS
    assert "not 101" in faults(own | {"scans": [scan] * (MAX_SCANS + 1)})["scans"]


def test_findings_have_a_bound_over_all_runs() -> None:
    results = [{"message": {"text": "m"}}] * (MAX_FINDINGS // 2)
    full = sarif(*results)
    full["runs"] *= 2
    assert sum(len(scan.findings) for scan in scans(json.dumps(full))) == MAX_FINDINGS
    full["runs"].append(sarif(result())["runs"][0])
    assert faults(full) == {
        "runs[2].results": "At most 50000 findings in one file: split it, or have the tool report less."
    }
    findings = [{"severity": "LOW", "message": "m"}] * (MAX_FINDINGS + 1)
    assert "At most 50000 findings" in faults(OWN | {"findings": findings})["findings"]


def test_a_rule_does_not_make_a_small_file_a_large_one() -> None:
    rule = {"id": "R1", "messageStrings": {"m": {"text": "x" * 4_000}}}
    results = [{"ruleId": "R1", "message": {"id": "m"}}] * (MAX_CHARACTERS // 4_000)
    assert "characters in all findings" in faults(sarif(*results, rules=[rule]))["runs[0].results"]
    rule = {"id": "R1", "messageStrings": {"m": {"text": "{0}" * 1_000_000}}}
    results = [{"ruleId": "R1", "message": {"id": "m", "arguments": ["y" * 100_000]}}]
    [scan] = scans(json.dumps(sarif(*results, rules=[rule])))
    assert len(scan.findings[0].message) == 4_000


def test_structure_has_a_bound() -> None:
    assert "too much in this report" in the_fault("[" + "[]," * 3_000_000 + "[]]")


def test_faults_have_a_bound() -> None:
    report = read(json.dumps(sarif(*[result(level="fatal")] * 1_000)))
    assert len(report.faults) == MAX_FAULTS + 1
    assert report.faults[0].path == "input.report.runs[0].results[0].level"
    assert report.faults[-1].message == "There are more than 100 faults; the others are not listed."


def test_large_reports_are_read_quickly() -> None:
    [bandit] = json.loads(real("bandit.sarif"))["runs"]
    text = json.dumps(sarif(*bandit["results"] * 600, rules=bandit["tool"]["driver"]["rules"]))
    began = time.process_time()
    [scan] = scans(text)
    # Seen at 0.13 s; by the square of the findings it would be minutes.
    assert time.process_time() - began < 3
    assert len(scan.findings) == 5_400
