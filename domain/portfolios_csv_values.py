"""Cells of a broker's file: a text in, an exact value out, or what is wanted instead. Rows are read in portfolios_csv.

Numbers may carry a currency sign, a group separator, parentheses for a negative. A comma may be a decimal mark only in
files that are not separated by commas, and `decimal_mark` decides once for the whole file: 1,234 must not be a thousand
in one row and a little more than one in the next.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Literal

from db.models import InvestmentClass, OptionType

Mark = Literal[".", ",", "?"]
"""The decimal mark of a file; `?` where its cells do not agree or do not tell."""

MAX_SYMBOL = 32
MAX_NOTES = 1_000
MAX_INTEGER_DIGITS = 18
MAX_DECIMALS = 8
FIRST_YEAR, LAST_YEAR = 1900, 2199

_A_NUMBER = "A number such as 1234.5, with at most 18 digits before the point and 8 after it."
_A_DATE = "A date such as 2026-11-20, or month first as in 11/20/2026."

_PLAIN = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,8})?")
# Possessive throughout: a cell of blanks must not be tried in every way it can be split.
_DECORATED = re.compile(
    r"(?P<open>\(?+)\s*+(?P<sign>[-+\u2212]?+)\s*+[$€£¥₹]?+\s*+(?P<inner>[-+\u2212]?+)\s*+"
    r"(?P<digits>[0-9.,]++)\s*+[$€£¥₹]?+(?P<close>\)?+)"
)
_GROUP_BLANK = re.compile(r"(?<=[0-9])[\s'’](?=[0-9]{3}(?![0-9]))")
_BY_POINT = re.compile(r"((?:[0-9]++|[1-9][0-9]{0,2}+(?:,[0-9]{3})++)?)(?:\.([0-9]++))?")
_BY_COMMA = re.compile(r"((?:[0-9]++|[1-9][0-9]{0,2}+(?:\.[0-9]{3})++)?)(?:,([0-9]++))?")

_ISO = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})|([0-9]{4})([0-9]{2})([0-9]{2})")
_US = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}|[0-9]{2})")
_TIME = re.compile(
    r"(?:T|,? )(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?(?: ?[AP]M)?"
    r"(?:Z| ?UTC|[-+][0-9]{2}:?[0-9]{2})?$",
    re.IGNORECASE,
)

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_CLASSES = {
    spelling: name
    for name, spellings in {
        InvestmentClass.STOCK: "stock stocks equity equities share shares stk commonstock cs adr",
        InvestmentClass.ETF: "etf etfs exchangetradedfund",
        InvestmentClass.FUND: "fund funds mutualfund mutualfunds mf moneymarket",
        InvestmentClass.BOND: "bond bonds fixedincome",
        InvestmentClass.CRYPTO: "crypto cryptocurrency cryptocurrencies coin",
        InvestmentClass.OPTION: "option options opt stockoption equityoption equityoptions",
        InvestmentClass.OTHER: "other others",
    }.items()
    for spelling in spellings.split()
}
_OPTION_TYPES = dict.fromkeys(("c", "call", "calls"), OptionType.CALL) | dict.fromkeys(
    ("p", "put", "puts"), OptionType.PUT
)


class Unreadable(Exception):
    """The cell is not what its column wants; the message says what would be."""


def symbol(text: str) -> str:
    """In upper case. A cell that a spreadsheet would run as a formula is a text like any other."""
    upper = text.upper()
    if not upper:
        raise Unreadable("Not empty.")
    if len(upper) > MAX_SYMBOL:
        raise Unreadable(f"At most {MAX_SYMBOL} characters.")
    if not upper.isprintable():
        raise Unreadable("Visible characters only.")
    return upper


def notes(text: str) -> str:
    if len(text) > MAX_NOTES:
        raise Unreadable(f"At most {MAX_NOTES} characters.")
    if _CONTROL.search(text):
        raise Unreadable("No control characters.")
    # The same file from another system is the same text.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def investment_class(text: str) -> InvestmentClass:
    found = _CLASSES.get(_folded(text))
    if found is None:
        raise Unreadable(f"One of {', '.join(InvestmentClass)}.")
    return found


def option_type(text: str) -> OptionType:
    found = _OPTION_TYPES.get(_folded(text))
    if found is None:
        raise Unreadable(f"One of {', '.join(OptionType)}.")
    return found


def _folded(text: str) -> str:
    return text.casefold().replace(" ", "").replace("-", "").replace("_", "")


def quantity(text: str, mark: Mark) -> Decimal:
    """Below zero for a short."""
    value = number(text, mark)
    if not value:
        raise Unreadable("Not zero: below zero for a short.")
    return value


def price(text: str, mark: Mark) -> Decimal:
    value = number(text, mark)
    if value < 0:
        raise Unreadable("Not below zero: a short is a quantity below zero.")
    return value


def strike(text: str, mark: Mark) -> Decimal:
    value = number(text, mark)
    if value <= 0:
        raise Unreadable("Above zero.")
    return value


def number(text: str, mark: Mark) -> Decimal:
    """Exact, or `Unreadable`: what is not finite, has an exponent or does not fit 18 + 8 digits is no number here."""
    if mark == "." and _PLAIN.fullmatch(text):
        return Decimal(text)
    negative, digits = _undecorated(text)
    readings = [_reading(pattern, digits) for pattern in _patterns(mark)]
    found = {reading for reading in readings if reading is not None}
    if len(found) > 1:
        raise Unreadable("Either a thousands separator or a decimal mark: write 1234.00 or 1.2340.")
    if not found:
        raise Unreadable(_A_NUMBER)
    [(whole, fraction)] = found
    if len(whole) > MAX_INTEGER_DIGITS or len(fraction) > MAX_DECIMALS:
        raise Unreadable(_A_NUMBER)
    return Decimal(f"{'-' if negative else ''}{whole or 0}.{fraction or 0}")


def decimal_mark(cells: Iterable[str]) -> Mark:
    """What the unmistakable ones among these numbers say: 12,5 and 1.234,50 or 12.5 and 1,234.50."""
    marks: set[Mark] = set()
    for cell in cells:
        try:
            _, digits = _undecorated(cell.strip())
        except Unreadable:
            continue
        by_point, by_comma = _reading(_BY_POINT, digits), _reading(_BY_COMMA, digits)
        if (by_point is None) != (by_comma is None):
            marks.add("," if by_point is None else ".")
    return marks.pop() if len(marks) == 1 else "?"


def _undecorated(text: str) -> tuple[bool, str]:
    """Whether it is negative, and its digits with their separators."""
    match = _DECORATED.fullmatch(_GROUP_BLANK.sub("", text))
    if match is None:
        raise Unreadable(_A_NUMBER)
    signs = match["sign"] + match["inner"]
    enclosed = bool(match["open"])
    if enclosed != bool(match["close"]) or len(signs) + enclosed > 1:
        raise Unreadable(_A_NUMBER)
    return enclosed or signs in {"-", "\u2212"}, match["digits"]


def _patterns(mark: Mark) -> tuple[re.Pattern[str], ...]:
    return {".": (_BY_POINT,), ",": (_BY_COMMA,), "?": (_BY_POINT, _BY_COMMA)}[mark]


def _reading(pattern: re.Pattern[str], digits: str) -> tuple[str, str] | None:
    """The digits before and after the decimal mark, without zeros that say nothing."""
    match = pattern.fullmatch(digits)
    if match is None or not match[0]:
        return None
    whole, fraction = match.groups(default="")
    return whole.replace(",", "").replace(".", "").lstrip("0"), fraction.rstrip("0")


def day(text: str) -> date:
    """ISO, or month/day/year as in the US; a time of day after it is left out. 1/2/69 is 1969, 1/2/68 is 2068."""
    if ":" in text:
        text = _TIME.sub("", text)
    if match := _ISO.fullmatch(text):
        year, month, of_month = (int(part) for part in match.groups() if part)
    elif match := _US.fullmatch(text):
        month, of_month, year = (int(part) for part in match.groups())
        if len(match[3]) == 2:
            year += 1900 if year >= 69 else 2000
    else:
        raise Unreadable(_A_DATE)
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise Unreadable(f"A year from {FIRST_YEAR} to {LAST_YEAR}.")
    try:
        return date(year, month, of_month)
    except ValueError:
        raise Unreadable("There is no such day. " + _A_DATE) from None
