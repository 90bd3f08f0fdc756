"""A scanner's report, whatever it is: which format a text has. How a format is read, is in a module of its own."""

from typing import Any

import strict_json
from domain import scans_foreign, scans_json, scans_sarif
from domain.scans_results import Report
from domain.scans_values import PATH, ReportFaults

MAX_STRUCTURE = 6 * 1024 * 1024
"""Bytes that are neither in strings nor blank: twice what 50,000 plain findings have."""


def read(text: str) -> Report:
    """What a text holds: SARIF 2.1.0 or Gatehouse's own JSON. Nothing is raised: what is wrong with it is in `faults`.

    Takes about a second for 10 MB, so it belongs into a thread.
    """
    faults = ReportFaults()
    try:
        value = _value(text.removeprefix("\ufeff"))
    except _UnfitTextError as error:
        faults.add(PATH, str(error))
        return Report(faults=faults.found)
    if not isinstance(value, dict):
        faults.add(PATH, scans_foreign.of_value(value))
        return Report(faults=faults.found)
    if value.get("format") == scans_json.FORMAT:
        scans = scans_json.read(value, faults)
    elif "runs" in value or "sarif" in str(value.get("$schema")):
        scans = scans_sarif.read(value, faults)
    else:
        faults.add(PATH, scans_foreign.of_value(value))
        scans = []
    return Report([] if faults.found else scans, faults.found)


class _UnfitTextError(Exception):
    """There is no value in the text: the message is the one fault of it."""


def _value(text: str) -> Any:
    try:
        return strict_json.loads(text.encode(), max_structure=MAX_STRUCTURE)
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise _UnfitTextError(f"Half of a surrogate pair in line {line}: write the file as UTF-8.") from None
    except strict_json.TooLarge:
        begins = text.lstrip()[:1] in {"{", "["}
        what = "There is too much in this report: split it, or have the tool report less."
        other = scans_foreign.of_text(text) or "This is not JSON: a report begins with {."
        raise _UnfitTextError(what if begins else other) from None
    except strict_json.NotJson as error:
        if (found := scans_foreign.of_text(text)) is not None:
            raise _UnfitTextError(found) from None
        remedy = (
            "was it cut off? Let the tool finish, and send the whole file" if error.at_end else "send the file as is"
        )
        raise _UnfitTextError(f"This {error}: {remedy}.") from None
    except strict_json.NotStrict as error:
        raise _UnfitTextError(f"This {error}: have the tool write it without that.") from None
