"""Values of a report, whatever its format: members by type, times, texts as stored. What a report has is not here."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

import clock
import spelling
from domain.scans_results import MAX_FINDINGS, NewFinding
from errors import Fault, Faults

PATH = "input.report"
MAX_FAULTS = 100
"""That are listed."""
AHEAD = timedelta(minutes=5)
"""By how much the clock of who scanned may be fast."""
MAX_NUMBER = 2**31 - 1
MAX_CHARACTERS = 64 * 1024 * 1024
"""Of the texts of all findings in one file together."""

_SHOWN = 60
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)
_NUMBER = re.compile(r"\d{1,2}(\.\d{1,20})?", re.ASCII)
# Controls, and what turns the order of the letters that a person sees.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BLANKS = re.compile(r"\s+")

Members = Mapping[str, Any]
"""A JSON object."""


@dataclass(slots=True)
class Room:
    """How much more may come in a file: a rule has its texts once there, but here each of its findings has them."""

    findings: int = MAX_FINDINGS
    characters: int = MAX_CHARACTERS

    @property
    def is_full(self) -> bool:
        return self.findings < 0 or self.characters < 0

    def take(self, finding: NewFinding, at: str, faults: Faults) -> bool:
        """Whether there is room for this one, which then is taken; that there is none is a fault."""
        self.findings -= 1
        self.characters -= sum(len(text) for text in finding if type(text) is str)
        if self.findings < 0:
            faults.add(at, f"At most {MAX_FINDINGS} findings in one file: split it, or have the tool report less.")
        elif self.characters < 0:
            faults.add(at, f"At most {MAX_CHARACTERS} characters in all findings together: split the file.")
        return not self.is_full


class ReportFaults(Faults):
    """The faults of one report, up to a bound."""

    def add(self, path: str, message: str) -> None:
        if len(self.found) < MAX_FAULTS:
            # What many results refer to is looked at for each of them.
            if Fault(path, message) not in self.found:
                super().add(path, message)
        elif len(self.found) == MAX_FAULTS:
            super().add(PATH, f"There are more than {MAX_FAULTS} faults; the others are not listed.")


class Reading:
    """Reads members of JSON objects. One that is null is as good as none; one of another type is a fault.

    `at` is always the path of the object that has the member.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults

    def text(self, parent: Members, name: str, at: str) -> str | None:
        value = parent.get(name)
        if value is None or isinstance(value, str):
            return value
        self._wanted("A text", value, name, at)
        return None

    def flag(self, parent: Members, name: str, at: str) -> bool | None:
        value = parent.get(name)
        if value is None or isinstance(value, bool):
            return value
        self._wanted("true or false", value, name, at)
        return None

    def integer(self, parent: Members, name: str, at: str) -> int | None:
        value = parent.get(name)
        if value is None or type(value) is int:
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        self._wanted("A whole number", value, name, at)
        return None

    def object(self, parent: Members, name: str, at: str) -> Members:
        """Empty where there is none."""
        value = parent.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self._wanted("An object", value, name, at)
        return {}

    def objects(self, parent: Members, name: str, at: str) -> Iterator[tuple[str, Members]]:
        """The objects in an array, each with its path."""
        value = parent.get(name)
        if isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield f"{at}.{name}[{index}]", item
                else:
                    self._wanted("An object", item, f"{name}[{index}]", at)
        elif value is not None:
            self._wanted("An array", value, name, at)

    def moment(self, parent: Members, name: str, at: str, *, utc: bool) -> datetime | None:
        """A time in the past. `utc` says that one without a zone is UTC; else that is a fault."""
        text = self.text(parent, name, at)
        if text is None:
            return None
        found = _moment(text)
        if found is None or not (utc or found.tzinfo):
            self._wanted("A time with its zone, such as 2026-11-20T14:05:06Z", text, name, at)
            return None
        try:
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except OverflowError:
            self._wanted("A time within the years 1 to 9999", text, name, at)
            return None
        if found > clock.now() + AHEAD:
            now = spelling.moment(clock.now())
            self.faults.add(f"{at}.{name}", f"{text} is in the future, it is {now}: set the clock of who scanned.")
        return found

    def _wanted(self, what: str, value: Any, name: str, at: str) -> None:
        self.faults.add(f"{at}.{name}", f"{what}, not {shown(value)}.")


def in_order(started: datetime | None, finished: datetime | None) -> bool:
    """Whether a scan does not end before it starts, as far as is known."""
    return started is None or finished is None or started <= finished


def score(value: Any) -> Decimal | None:
    """A number from 0 to 10 with one digit behind the point, also from a text; None for anything else.

    Cut instead of rounded, so that a score stays on the side of a threshold where the tool has it.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
        return None
    return abs(Decimal(str(value))).quantize(Decimal("0.1"), ROUND_DOWN)


def line(text: str | None, longest: int) -> str | None:
    """A text on one line, without what cannot be shown, at most so long; None where nothing is left."""
    if text is None:
        return None
    return _cut(_BLANKS.sub(" ", _cleaned(text, longest)), longest) or None


def paragraphs(text: str, longest: int) -> str:
    """As `line`, with its line breaks and indentation."""
    return _cut(_cleaned(text, longest).replace("\r\n", "\n").replace("\r", "\n"), longest)


def web_address(text: str | None, longest: int) -> str | None:
    """An address that a page may link to: of the web, and whole."""
    if text is None or len(text) > longest or not re.match(r"https?://[^\s<>\"]+\Z", text, re.IGNORECASE):
        return None
    return text


def shown(value: Any) -> str:
    """A value as a message quotes it: as JSON, cut."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    if isinstance(value, str):
        value = _UNSHOWABLE.sub("\ufffd", value[: _SHOWN + 1])
        value = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return json.dumps(value, ensure_ascii=False)


def _cleaned(text: str, longest: int) -> str:
    # Enough for the blanks that fall away, and no more work for a text of megabytes.
    return _UNSHOWABLE.sub("\ufffd", text.strip()[: longest + 100])


def _cut(text: str, longest: int) -> str:
    text = text.strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _moment(text: str) -> datetime | None:
    if len(text) > 64 or not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None
