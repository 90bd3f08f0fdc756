"""SARIF 2.1.0 as scans: runs, and which results are findings. Rules and places are in modules of their own.

Sections are those of SARIF 2.1.0 (OASIS Standard incorporating Approved Errata 01). What a viewer alone needs, such as
code flows, fixes and graphs, is not read.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from db.models import ScanStatus, Severity
from domain import scans_sarif_rules as rules
from domain import scans_values as values
from domain.scans_results import MAX_MESSAGE, MAX_RULE, MAX_SCANS, MAX_TARGET, MAX_TOOL, NewFinding, NewScan
from domain.scans_sarif_places import Places, address
from domain.scans_sarif_rules import Rule, Rules
from domain.scans_values import PATH, Members, Reading, Room

VERSION = "2.1.0"

_BY_LEVEL = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW, "none": Severity.INFO}
# Scores as GitHub's code scanning has them, which is where most tools have theirs from.
_BY_SCORE = ((Decimal(9), Severity.CRITICAL), (Decimal(7), Severity.HIGH), (Decimal(4), Severity.MEDIUM))
# 3.27.9: of the others it is said that there is no problem.
_PROBLEMS = ("fail", "open", "review")
_NO_PROBLEMS = ("pass", "notApplicable", "informational")
_BASELINES = ("new", "unchanged", "updated", "absent")
_STATUSES = ("accepted", "underReview", "rejected")
# Semgrep's for who has no account there: one for all results, which tells none from another.
_NO_FINGERPRINTS = ("requires login",)
_MAX_NOTED = 20


def read(document: Members, faults: values.ReportFaults) -> list[NewScan]:
    """The runs of a file as scans; what is wrong is added to `faults`."""
    reading = Reading(faults)
    version = document.get("version")
    if version != VERSION:
        found = (
            f"This is SARIF {values.shown(version)}" if "version" in document else "The version of SARIF is not said"
        )
        faults.add(
            f"{PATH}.version", f'{found}; only "{VERSION}" is read: have the tool write that, or convert the file.'
        )
        return []
    if document.get("inlineExternalProperties"):
        faults.add(f"{PATH}.inlineExternalProperties", "Parts of runs are kept apart, and are not read: merge them.")
    runs = document.get("runs")
    if not isinstance(runs, list) or not runs:
        faults.add(f"{PATH}.runs", "There is no run in the file: it is an array of one run or more.")
        return []
    if len(runs) > MAX_SCANS:
        faults.add(f"{PATH}.runs", f"At most {MAX_SCANS} runs in one file, this one has {len(runs)}: split it.")
        return []
    scans: list[NewScan] = []
    room = Room()
    for at, run in reading.objects(document, "runs", PATH):
        scans.append(_Run(run, at, reading).scan(room))
        if room.is_full:
            break
    return scans


class _Run:
    """Reads one run (3.14)."""

    def __init__(self, run: Members, at: str, read: Reading) -> None:
        self._run, self._at, self._read = run, at, read
        self._invocations = list(read.objects(run, "invocations", at))
        tool = read.object(run, "tool", at)
        self._driver = read.object(tool, "driver", f"{at}.tool")
        self._rules = Rules(tool, f"{at}.tool", read)
        self._rules.override(self._invocations)
        self._places = Places(run, self._invocations, at, read)
        self._errors = self._errors_noted()
        self._others: Counter[str] = Counter()

    def scan(self, room: Room) -> NewScan:
        """The run. That there is no room for a finding is a fault, and the end of reading."""
        at = f"{self._at}.tool.driver"
        tool = values.line(self._read.text(self._driver, "name", at), MAX_TOOL)
        if tool is None:
            self._read.faults.add(f"{at}.name", "The name of the tool is missing.")
        version = self._read.text(self._driver, "semanticVersion", at) or self._read.text(self._driver, "version", at)
        if self._run.get("externalPropertyFileReferences"):
            where = f"{self._at}.externalPropertyFileReferences"
            self._read.faults.add(where, "Parts of the run are in other files: have the tool write one file.")
        started, finished = self._times()
        findings = list(self._findings(room))
        provenance = self._provenance()
        repository = next((each["repositoryUri"] for each in provenance if "repositoryUri" in each), None)
        return NewScan(
            tool=tool or "",
            tool_version=values.line(version, MAX_TOOL),
            target=values.line(repository, MAX_TARGET) or self._places.root(),
            status=ScanStatus.FAILED if self._failed() else ScanStatus.COMPLETE,
            started_at=started,
            finished_at=finished,
            findings=findings,
            metadata=self._metadata(provenance),
        )

    def _times(self) -> tuple[datetime | None, datetime | None]:
        """From when to when the tool ran, over all of its processes."""
        starts, ends = [], []
        for at, invocation in self._invocations:
            started = self._read.moment(invocation, "startTimeUtc", at, utc=True)
            finished = self._read.moment(invocation, "endTimeUtc", at, utc=True)
            if not values.in_order(started, finished):
                self._read.faults.add(f"{at}.endTimeUtc", "This is before startTimeUtc.")
            starts += [started] if started else []
            ends += [finished] if finished else []
        first, last = min(starts, default=None), max(ends, default=None)
        if not values.in_order(first, last):
            self._read.faults.add(f"{self._at}.invocations", "The last one ends before the first one starts.")
        return first, last

    def _failed(self) -> bool:
        """Whether a process failed: as it says, or because it notes an error (3.20.14, 3.20.21, 3.20.22)."""
        flags = [self._read.flag(each, "executionSuccessful", at) for at, each in self._invocations]
        return False in flags or bool(self._errors)

    def _errors_noted(self) -> list[str]:
        """What the tool says that went wrong with itself."""
        return [
            rules.message(self._read.object(notification, "message", at), Rule(), f"{at}.message", self._read) or ""
            for where, invocation in self._invocations
            for name in ("toolExecutionNotifications", "toolConfigurationNotifications")
            for at, notification in self._read.objects(invocation, name, where)
            if notification.get("level") == "error"
        ]

    def _provenance(self) -> list[dict[str, str]]:
        """Which revisions were scanned (3.23)."""
        found = []
        for at, details in self._read.objects(self._run, "versionControlProvenance", self._at):
            texts = {key: self._read.text(details, key, at) for key in ("repositoryUri", "revisionId", "branch")}
            found.append({key: address(text)[:MAX_TARGET] for key, text in texts.items() if text})
        return [each for each in found[:_MAX_NOTED] if each]

    def _metadata(self, provenance: Sequence[dict[str, str]]) -> dict[str, Any] | None:
        automation = self._read.object(self._run, "automationDetails", self._at)
        automation_id = values.line(self._read.text(automation, "id", f"{self._at}.automationDetails"), MAX_TARGET)
        metadata = {
            "automationId": automation_id,
            "versionControl": provenance,
            "errors": [error[:MAX_TARGET] for error in self._errors[:_MAX_NOTED] if error],
            "otherResults": dict(sorted(self._others.items())),
        }
        return {name: value for name, value in metadata.items() if value} or None

    def _findings(self, room: Room) -> Iterator[NewFinding]:
        for at, result in self._read.objects(self._run, "results", self._at):
            finding = self._finding(result, at)
            if finding and not room.take(finding, f"{self._at}.results", self._read.faults):
                return
            if finding:
                yield finding

    def _finding(self, result: Members, at: str) -> NewFinding | None:
        """A result (3.27); None where it is not a problem of the present."""
        kind = self._read.text(result, "kind", at) or "fail"
        baseline = self._read.text(result, "baselineState", at)
        self._known(kind, (*_PROBLEMS, *_NO_PROBLEMS), f"{at}.kind")
        self._known(baseline, _BASELINES, f"{at}.baselineState")
        if kind in _NO_PROBLEMS or baseline == "absent":
            self._others["absent" if baseline == "absent" else kind] += 1
            return None
        rule = self._rules.of(result, at)
        level = rules.level(result, at, self._read)
        if level is None:
            level = self._rules.level(result, rule, at) if kind == "fail" else "none"
        score = rules.score(result, at, self._read) or rule.score
        place = self._places.of(result, at)
        return NewFinding(
            severity=_by_score(score) or _BY_LEVEL[level],
            rule_id=values.line(self._rule_id(result, rule), MAX_RULE),
            rule_name=rule.name,
            message=self._message(result, rule, at),
            path=place.path,
            start_line=place.start_line,
            start_column=place.start_column,
            end_line=place.end_line,
            end_column=place.end_column,
            score=score,
            fingerprint=self._fingerprint(result, at),
            help_url=rule.help_url,
            suppressed=self._suppressed(result, at),
        )

    def _rule_id(self, result: Members, rule: Rule) -> str | None:
        reference = result.get("rule")
        named = result.get("ruleId") or (reference.get("id") if isinstance(reference, dict) else None)
        return named if isinstance(named, str) else rule.id

    def _message(self, result: Members, rule: Rule, at: str) -> str:
        of = self._read.object(result, "message", at)
        found = rules.message(of, rule, f"{at}.message", self._read) or rule.description or rule.name
        if not found and isinstance(result.get("message"), dict | None):
            self._read.faults.add(f"{at}.message", "There is no text: give text, or the id of a message of the rule.")
        return (found or "")[:MAX_MESSAGE]

    def _fingerprint(self, result: Members, at: str) -> str | None:
        """The latest one that is whole (3.27.16), else the partial one that GitHub has too, or the first (3.27.17)."""
        whole = self._read.object(result, "fingerprints", at)
        partial = self._read.object(result, "partialFingerprints", at)
        for name in sorted(whole, key=_version, reverse=True)[:_MAX_NOTED]:
            if (text := self._read.text(whole, name, f"{at}.fingerprints")) and text not in _NO_FINGERPRINTS:
                return values.line(text, MAX_RULE)
        lines = [name for name in partial if name.startswith("primaryLocationLineHash")]
        if not partial:
            return None
        return values.line(self._read.text(partial, min(lines or partial), f"{at}.partialFingerprints"), MAX_RULE)

    def _suppressed(self, result: Members, at: str) -> bool:
        """Whether any suppression holds: one without a status does (3.27.23, 3.35.3)."""
        held = False
        for where, suppression in self._read.objects(result, "suppressions", at):
            status = self._read.text(suppression, "status", where) or "accepted"
            self._known(status, _STATUSES, f"{where}.status")
            held = held or status == "accepted"
        return held

    def _known(self, word: str | None, words: Sequence[str], at: str) -> None:
        if word is not None and word not in words:
            self._read.faults.add(at, f"One of {', '.join(words)}, not {values.shown(word)}.")


def _by_score(score: Decimal | None) -> Severity | None:
    if score is None:
        return None
    return next((severity for least, severity in _BY_SCORE if score >= least), Severity.LOW)


def _version(name: str) -> tuple[int, str]:
    """Of a versioned name such as `stableResultHash/v2` (3.5.4.2)."""
    found = re.search(r"/v(\d{1,9})\Z", name, re.ASCII)
    return int(found[1]) if found else 0, name
