"""Gatehouse's own JSON as scans: the format for tools that do not write SARIF. Its schema is scan.schema.json.

What is unknown is a fault, so that a misspelled member is seen before it is missed.
"""

from collections.abc import Collection, Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import strict_json
from db.models import ScanStatus, Severity
from domain import scans_values as values
from domain.scans_results import MAX_MESSAGE, MAX_PATH, MAX_RULE, MAX_SCANS, MAX_TARGET, MAX_TOOL, NewFinding, NewScan
from domain.scans_values import MAX_NUMBER, PATH, Members, Reading, Room

FORMAT = "gatehouse-scan"
VERSION = 1
MAX_METADATA = 16_384
"""Bytes, as JSON."""
MAX_LEVELS = 10
FILE_MEMBERS = ("format", "version", "$schema")
SCAN_MEMBERS = ("tool", "toolVersion", "target", "status", "startedAt", "finishedAt", "metadata", "findings")
FINDING_MEMBERS = (
    *("ruleId", "ruleName", "severity", "message", "path", "startLine", "startColumn", "endLine", "endColumn"),
    *("score", "fingerprint", "helpUrl", "suppressed"),
)

_Word = TypeVar("_Word", bound=StrEnum)


@cache
def schema_text() -> str:
    """The JSON Schema of the format (draft 2020-12)."""
    return Path(__file__).with_name("scan.schema.json").read_text()


def read(document: Members, faults: values.ReportFaults) -> list[NewScan]:
    """The scans of a file; what is wrong is added to `faults`."""
    reader = _Reader(faults)
    version = document.get("version")
    if isinstance(version, bool) or version != VERSION:
        faults.add(f"{PATH}.version", f"Only version {VERSION} of {FORMAT} is known, not {values.shown(version)}.")
        return []
    if "scans" not in document:
        reader.known(document, (*FILE_MEMBERS, *SCAN_MEMBERS), PATH)
        return [reader.scan(document, PATH, Room())]
    reader.known(document, (*FILE_MEMBERS, "scans"), PATH)
    scans = document["scans"]
    if isinstance(scans, list) and not 1 <= len(scans) <= MAX_SCANS:
        faults.add(f"{PATH}.scans", f"From 1 to {MAX_SCANS} scans in one file, not {len(scans)}.")
        return []
    return list(reader.scans(document))


class _Reader(Reading):
    """Reads scans and findings; see `Reading` for paths."""

    def scans(self, document: Members) -> Iterator[NewScan]:
        room = Room()
        self._required(document, "scans", PATH)
        for at, scan in self.objects(document, "scans", PATH):
            self.known(scan, SCAN_MEMBERS, at)
            yield self.scan(scan, at, room)
            if room.is_full:
                return

    def scan(self, scan: Members, at: str, room: Room) -> NewScan:
        started = self.moment(scan, "startedAt", at, utc=False)
        finished = self.moment(scan, "finishedAt", at, utc=False)
        if not values.in_order(started, finished):
            self.faults.add(f"{at}.finishedAt", "This is before startedAt.")
        self._required(scan, "findings", at)
        return NewScan(
            tool=self._filled(scan, "tool", at, values.line(self.text(scan, "tool", at), MAX_TOOL)),
            tool_version=values.line(self.text(scan, "toolVersion", at), MAX_TOOL),
            target=values.line(self.text(scan, "target", at), MAX_TARGET),
            status=self._word(scan, "status", at, ScanStatus) or ScanStatus.COMPLETE,
            started_at=started,
            finished_at=finished,
            findings=list(self._findings(scan, at, room)),
            metadata=self._metadata(scan, at),
        )

    def known(self, members: Members, names: Collection[str], at: str) -> None:
        for name in members:
            if name not in names:
                shown = values.line(name, 40) or '""'
                self.faults.add(f"{at}.{shown}", f"There is no such member; there are {', '.join(names)}.")

    def _findings(self, scan: Members, at: str, room: Room) -> Iterator[NewFinding]:
        for where, each in self.objects(scan, "findings", at):
            self.known(each, FINDING_MEMBERS, where)
            finding = self._finding(each, where)
            if not room.take(finding, f"{at}.findings", self.faults):
                return
            yield finding

    def _finding(self, finding: Members, at: str) -> NewFinding:
        self._required(finding, "severity", at)
        message = values.paragraphs(self.text(finding, "message", at) or "", MAX_MESSAGE)
        return NewFinding(
            severity=self._word(finding, "severity", at, Severity) or Severity.INFO,
            rule_id=values.line(self.text(finding, "ruleId", at), MAX_RULE),
            rule_name=values.line(self.text(finding, "ruleName", at), MAX_RULE),
            message=self._filled(finding, "message", at, message),
            path=values.line(self.text(finding, "path", at), MAX_PATH),
            start_line=self._position(finding, "startLine", at),
            start_column=self._position(finding, "startColumn", at),
            end_line=self._position(finding, "endLine", at),
            end_column=self._position(finding, "endColumn", at),
            score=self._score(finding, at),
            fingerprint=values.line(self.text(finding, "fingerprint", at), MAX_RULE),
            help_url=self._help_url(finding, at),
            suppressed=self.flag(finding, "suppressed", at) or False,
        )

    def _required(self, parent: Members, name: str, at: str) -> None:
        if parent.get(name) is None:
            self.faults.add(f"{at}.{name}", "This is missing.")

    def _filled(self, parent: Members, name: str, at: str, text: str | None) -> str:
        """A text that has to be there and to say something."""
        self._required(parent, name, at)
        if not text and isinstance(parent.get(name), str):
            self.faults.add(f"{at}.{name}", "A text that is not empty.")
        return text or ""

    def _word(self, parent: Members, name: str, at: str, words: type[_Word]) -> _Word | None:
        text = self.text(parent, name, at)
        found = words.__members__.get(text.upper()) if text is not None else None
        if text is not None and found is None:
            self.faults.add(f"{at}.{name}", f"One of {', '.join(words)}, not {values.shown(text)}.")
        return found

    def _position(self, parent: Members, name: str, at: str) -> int | None:
        number = self.integer(parent, name, at)
        if number is not None and not 1 <= number <= MAX_NUMBER:
            self.faults.add(f"{at}.{name}", f"A number from 1 to {MAX_NUMBER}, not {number}.")
            return None
        return number

    def _score(self, finding: Members, at: str) -> Any:
        given = finding.get("score")
        found = None if isinstance(given, str) else values.score(given)
        if given is not None and found is None:
            self.faults.add(f"{at}.score", f"A number from 0 to 10, not {values.shown(given)}.")
        return found

    def _help_url(self, finding: Members, at: str) -> str | None:
        given = self.text(finding, "helpUrl", at)
        found = values.web_address(given, MAX_PATH)
        if given is not None and found is None:
            wanted = f"An address that begins with https:// and has at most {MAX_PATH} characters"
            self.faults.add(f"{at}.helpUrl", f"{wanted}, not {values.shown(given)}.")
        return found

    def _metadata(self, scan: Members, at: str) -> Members | None:
        found = self.object(scan, "metadata", at)
        if found and not strict_json.fits(found, levels=MAX_LEVELS, most=MAX_METADATA):
            words = f"At most {MAX_METADATA} bytes as JSON, {MAX_LEVELS} levels deep, with numbers up to 2^53."
            self.faults.add(f"{at}.metadata", words)
        return found or None
