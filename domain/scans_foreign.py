"""Reports that are not read: what a text looks like, and what to do so that it is. What is read, is not here."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from domain.scans_values import shown

_READ = "SARIF 2.1.0 or Gatehouse's own JSON"
_OWN = "docs/scans.md describes Gatehouse's own JSON, into which a few lines of script can turn it"
_OWN_MEMBERS = {"tool", "findings"}
_MAX_NAMES = 8


class _Kind(NamedTuple):
    """A format of somebody else, known by members that a report has: `sarif` has the tool write SARIF instead."""

    name: str
    members: frozenset[str]
    sarif: str | None = None


def _kind(name: str, members: str, sarif: str | None = None) -> _Kind:
    return _Kind(name, frozenset(members.split("|")), sarif)


_OBJECTS = (
    _kind("bandit's own JSON", "results|metrics|generated_at", 'bandit -r . -f sarif -o FILE (with "bandit[sarif]")'),
    _kind("semgrep's own JSON", "results|errors|paths|version", "semgrep scan --sarif --sarif-output FILE"),
    _kind("checkov's own JSON", "check_type|results", "checkov -d . -o sarif --output-file-path DIRECTORY"),
    _kind("checkov's own JSON", "passed|failed|checkov_version", "checkov -d . -o sarif --output-file-path DIRECTORY"),
    _kind("trivy's own JSON", "SchemaVersion|ArtifactName", "trivy fs --format sarif --output FILE ."),
    _kind("grype's own JSON", "matches|source|descriptor", "grype dir:. -o sarif --file FILE"),
    _kind("gosec's own JSON", "Issues|Stats", "gosec -fmt sarif -out FILE ./..."),
    _kind("snyk's own JSON", "vulnerabilities|ok", "snyk test --sarif-file-output=FILE"),
    _kind("detect-secrets' JSON", "plugins_used|results"),
    _kind("pip-audit's JSON", "dependencies|fixes"),
    _kind("npm audit's JSON", "auditReportVersion|vulnerabilities"),
    _kind("a CycloneDX bill of materials", "bomFormat|specVersion"),
    _kind("an SPDX bill of materials", "spdxVersion|SPDXID"),
)
_LISTS = (
    _kind("checkov's own JSON", "check_type|results", "checkov -d . -o sarif --output-file-path DIRECTORY"),
    _kind("eslint's own JSON", "filePath|messages", "eslint -f @microsoft/eslint-formatter-sarif -o FILE"),
    _kind("ruff's own JSON", "code|filename|location", "ruff check --output-format sarif --output-file FILE"),
    _kind("gitleaks' own JSON", "RuleID|StartLine", "gitleaks git --report-format sarif --report-path FILE"),
)
_TEXTS = (
    (re.compile(r"\s*+<(\?xml[^>]{0,200}>\s*+<)?testsuites?\b", re.IGNORECASE), "JUnit's XML"),
    (re.compile(r"\s*+<(!doctype\s+html|html)\b", re.IGNORECASE), "an HTML page"),
    (re.compile(r"\s*+<"), "XML"),
    (re.compile(r"PK\x03\x04|\x1f(\x8b|\ufffd)"), "a compressed file"),
    (re.compile(r'"?[\w .-]{1,60}"?([,;\t]"?[\w .-]{0,60}"?){2,}[ \r]*+(\n|$)'), "CSV"),
)


def of_value(value: Any) -> str:
    """What to say about JSON that is neither of the formats that are read."""
    if isinstance(value, Mapping) and (value.keys() >= _OWN_MEMBERS or "scans" in value):
        return 'This looks like Gatehouse\'s own JSON: begin it with "format": "gatehouse-scan", "version": 1.'
    if isinstance(value, Mapping):
        return _advice(value, _OBJECTS)
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return _advice(value[0], _LISTS, "an array of objects")
    what = "an array" if isinstance(value, list) else shown(value)
    return f"This is JSON, but only {what}: send {_READ}."


def of_text(text: str) -> str | None:
    """What to say about a text that is not JSON; None where it does not look like anything known."""
    if not text.strip():
        return f"The report is empty: send {_READ}. A scan without findings is a report too."
    head = text[:2000]
    if head.count("\0") > 8:
        return "This is not a text in UTF-8: UTF-16, or binary. Have the tool write the file itself, without >."
    found = next((name for looks, name in _TEXTS if looks.match(head)), None)
    return found and f"This looks like {found}, which is not read: have the tool write SARIF 2.1.0."


def _advice(members: Mapping[str, Any], kinds: Collection[_Kind], what: str = "an object") -> str:
    kind = next((kind for kind in kinds if kind.members <= members.keys()), None)
    if kind is None:
        names = ", ".join(shown(name) for name in list(members)[:_MAX_NAMES]) or "nothing"
        return f"This is JSON, but neither SARIF 2.1.0 nor Gatehouse's own: {what} with {names}. Send one of the two."
    if kind.sarif is None:
        return f"This looks like {kind.name}, which is not read: {_OWN}."
    return f"This looks like {kind.name}, which is not read: have it write SARIF: {kind.sarif}"
