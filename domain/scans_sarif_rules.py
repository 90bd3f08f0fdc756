"""Rules of a SARIF run: which one a result names, and its level, score and messages. What a result is, is not here.

Sections are those of SARIF 2.1.0 (OASIS Standard incorporating Approved Errata 01).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain import scans_values as values
from domain.scans_results import MAX_MESSAGE, MAX_PATH, MAX_RULE
from domain.scans_values import Members, Reading

LEVELS = ("error", "warning", "note", "none")

_MAX_STEPS = 10
_MAX_PLACEHOLDERS = 100
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\d{1,3})\}", re.ASCII)
# To another location of the same result (3.11.6), which says nothing to who reads the text alone.
_LINK = re.compile(r"\[([^\[\]]*)\]\(\d{1,9}\)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule says for its results. Without a rule all of it is unknown."""

    id: str | None = None
    name: str | None = None
    help_url: str | None = None
    level: str | None = None
    score: Decimal | None = None
    description: str | None = None
    messages: Members = field(default_factory=dict)


class _Component:
    """The rules of the driver or of one extension (3.19.23)."""

    def __init__(self, component: Members, at: str, read: Reading) -> None:
        self.names = {name for key in ("guid", "name") if (name := read.text(component, key, at))}
        self.rules: list[Rule] = []
        self.by_id: dict[str, Rule] = {}
        for where, descriptor in read.objects(component, "rules", at):
            rule = _rule(descriptor, where, read)
            self.rules.append(rule)
            for name in (rule.id, read.text(descriptor, "guid", where)):
                if name:
                    self.by_id.setdefault(name, rule)

    def find(self, id: str | None, index: int | None) -> Rule | None:
        """By id, unless the index has the same; `CA5350/md5` is a kind of `CA5350` (3.27.5)."""
        at_index = self.rules[index] if index is not None and 0 <= index < len(self.rules) else None
        if id is None or (at_index and at_index.id == id):
            return at_index
        name = id
        for _ in range(_MAX_STEPS):
            if name in self.by_id:
                return self.by_id[name]
            name = name.rpartition("/")[0]
        return at_index


class Rules:
    """All rules of a run."""

    def __init__(self, tool: Members, at: str, read: Reading) -> None:
        self._read = read
        self._driver = _Component(read.object(tool, "driver", at), f"{at}.driver", read)
        self._extensions = [_Component(each, where, read) for where, each in read.objects(tool, "extensions", at)]
        self._by_name = {name: each for each in self._extensions for name in each.names}
        self._overrides: list[dict[int, str]] = []

    def override(self, invocations: Sequence[tuple[str, Members]]) -> None:
        """Note the levels that these invocations gave to rules (3.20.5)."""
        for at, invocation in invocations:
            levels: dict[int, str] = {}
            for where, override in self._read.objects(invocation, "ruleConfigurationOverrides", at):
                rule = self._referred(self._read.object(override, "descriptor", where), None, None, where)
                configuration = self._read.object(override, "configuration", where)
                set_to = level(configuration, f"{where}.configuration", self._read)
                if rule and set_to:
                    levels[id(rule)] = set_to
            self._overrides.append(levels)

    def of(self, result: Members, at: str) -> Rule:
        """The rule of a result (3.27.5 to 3.27.7). One that names none, or one that is not there, has an empty one."""
        rule_id = self._read.text(result, "ruleId", at)
        reference = self._read.object(result, "rule", at)
        found = self._referred(reference, rule_id, self._read.integer(result, "ruleIndex", at), f"{at}.rule")
        return found or Rule()

    def level(self, result: Members, rule: Rule, at: str) -> str:
        """The level of a result that does not say it: an override, the rule's own, or a warning (3.27.10)."""
        provenance = self._read.object(result, "provenance", at)
        index = self._read.integer(provenance, "invocationIndex", f"{at}.provenance")
        if index is not None and 0 <= index < len(self._overrides) and id(rule) in self._overrides[index]:
            return self._overrides[index][id(rule)]
        return rule.level or "warning"

    def _referred(self, reference: Members, rule_id: str | None, index: int | None, at: str) -> Rule | None:
        """Look a rule up (3.52.3)."""
        if reference:
            rule_id = self._read.text(reference, "id", at) or rule_id or self._read.text(reference, "guid", at)
            position = self._read.integer(reference, "index", at)
            index = index if position is None else position
        if rule_id is None and index is None:
            return None
        component = self._component(self._read.object(reference, "toolComponent", at), f"{at}.toolComponent")
        found = component.find(rule_id, index)
        # Some tools keep their rules in extensions and do not say so.
        for extension in self._extensions[:_MAX_STEPS] if found is None else ():
            found = found or extension.find(rule_id, None)
        return found

    def _component(self, reference: Members, at: str) -> _Component:
        index = self._read.integer(reference, "index", at) if reference else None
        if index is not None and 0 <= index < len(self._extensions):
            return self._extensions[index]
        for key in ("guid", "name"):
            found = self._by_name.get(self._read.text(reference, key, at) or "") if reference else None
            if found:
                return found
        return self._driver


def level(parent: Members, at: str, read: Reading) -> str | None:
    """The member `level`, one of those that SARIF knows."""
    found = read.text(parent, "level", at)
    if found is None or found in LEVELS:
        return found
    read.faults.add(f"{at}.level", f"A level is one of {', '.join(LEVELS)}, not {values.shown(found)}.")
    return None


def score(parent: Members, at: str, read: Reading) -> Decimal | None:
    """`security-severity` of the property bag. Zero is how tools say that they do not know."""
    return values.score(read.object(parent, "properties", at).get("security-severity")) or None


def message(of: Members, rule: Rule, at: str, read: Reading) -> str | None:
    """The text of a message, found and filled in as sections 3.11.5 and 3.11.7 say; None where there is none."""
    text = read.text(of, "text", at) or read.text(of, "markdown", at)
    if not text and (name := read.text(of, "id", at)):
        text = _multiformat(rule.messages, name, at, read)
    if not text:
        return None
    arguments = of.get("arguments")
    if isinstance(arguments, list) and arguments:
        text = "".join(_filled(text[:MAX_MESSAGE], arguments))
    if "](" in text:
        text = _LINK.sub(r"\1", text[: MAX_MESSAGE + 100])
    return values.paragraphs(text, MAX_MESSAGE) or None


def _filled(text: str, arguments: Sequence[Any]) -> Iterator[str]:
    """The text with its placeholders filled in, until there is enough of it."""
    end, size = 0, 0
    for count, found in enumerate(_PLACEHOLDER.finditer(text)):
        if count == _MAX_PLACEHOLDERS or size > MAX_MESSAGE:
            break
        index = int(found[1]) if found[1] else None
        if index is None:
            filled = found[0][0]
        else:
            given = arguments[index] if index < len(arguments) else found[0]
            filled = given[:MAX_MESSAGE] if isinstance(given, str) else values.shown(given)
        yield text[end : found.start()]
        yield filled
        end, size = found.end(), size + len(filled)
    yield text[end:]


def _rule(descriptor: Members, at: str, read: Reading) -> Rule:
    # A property of a rule that cannot be read is no reason to refuse its results, but its level decides on theirs.
    configuration = read.object(descriptor, "defaultConfiguration", at)
    short = _multiformat(descriptor, "shortDescription", at, read)
    return Rule(
        id=read.text(descriptor, "id", at),
        name=values.line(read.text(descriptor, "name", at) or short, MAX_RULE),
        help_url=values.web_address(read.text(descriptor, "helpUri", at), MAX_PATH),
        level=level(configuration, f"{at}.defaultConfiguration", read),
        score=score(descriptor, at, read),
        description=values.paragraphs(
            short or _multiformat(descriptor, "fullDescription", at, read) or "", MAX_MESSAGE
        ),
        messages=read.object(descriptor, "messageStrings", at),
    )


def _multiformat(parent: Mapping[str, Any], name: str, at: str, read: Reading) -> str | None:
    """The text of a message in several formats (3.12)."""
    found = read.object(parent, name, at)
    return (read.text(found, "text", f"{at}.{name}") or read.text(found, "markdown", f"{at}.{name}")) if found else None
