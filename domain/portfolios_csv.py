"""A broker's CSV file as lots and faults, each with its row. What a cell may hold is in portfolios_csv_values.

The delimiter is the one under which the header names the most known columns. A row is counted as a spreadsheet counts
it: the header is row 1, blank rows count, a cell with line breaks does not make more rows.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from db.models import InvestmentClass, OptionType
from domain import portfolios_csv_values as values
from domain.portfolios_csv_columns import COLUMNS, Column, recognised
from errors import Fault

MAX_ROWS = 10_000
MAX_COLUMNS = 64
MAX_LINES = 100_000
"""Blank ones, and those within cells, included."""
MAX_QUOTED = 100
MAX_NAME = 40
MAX_FAULTS = 20_000
"""That are listed."""
PATH = "input.csv"

_DELIMITERS = ",;\t|"
_BYTE_ORDER_MARKS = ("\ufeff", "ï»¿")
_OPTION_FIELDS = ("strike_price", "option_type", "expiration")
_NUMBERS = ("quantity", "entry_price", "strike_price", "exit_price")
_NOTHING = {"-", "--", "n/a", "na", "none", "null"}
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NAMES_DELIMITER = re.compile(r"sep=([,;\t|])[ \t]*(?:[\r\n]|$)", re.IGNORECASE)
_BY_FIELD = {column.field: column for column in COLUMNS}
_UNFIT_QUOTES = (
    "The quotes here do not fit, so nothing from here on can be read: a separator or the end of the row "
    "follows a closing quote, and a quote within a cell is doubled."
)
_TOO_LONG = (
    f"A cell here has more than {csv.field_size_limit()} characters, so nothing from here on can be read: shorten it, "
    "or close its quotes if it was meant to end earlier."
)


class Lot(NamedTuple):
    """One row of the file. Two equal lots are two purchases; a quantity below zero is a short."""

    symbol: str
    quantity: Decimal
    entry_price: Decimal
    entry_date: date
    investment_class: InvestmentClass
    strike_price: Decimal | None = None
    option_type: OptionType | None = None
    expiration: date | None = None
    exit_date: date | None = None
    exit_price: Decimal | None = None
    notes: str | None = None


@dataclass(slots=True)
class Parsed:
    """What a file holds. Where there are faults, its lots are not all of it."""

    lots: list[Lot] = field(default_factory=list)
    ignored_columns: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def refuse(self, message: str, row: int | None = None, column: str | None = None, value: str | None = None) -> None:
        if len(self.faults) == MAX_FAULTS:
            self.faults.append(Fault(PATH, f"There are more than {MAX_FAULTS} faults; the others are not listed."))
        if len(self.faults) > MAX_FAULTS:
            return
        self.faults.append(Fault(PATH, message, row, _shown(column, MAX_NAME), _shown(value, MAX_QUOTED)))


def _shown(text: str | None, longest: int) -> str | None:
    return None if text is None else _UNSHOWABLE.sub("\ufffd", text[:longest])


class _UnfitFileError(Exception):
    """Nothing in the file can be read: message and row are the one fault of it."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


_Record = tuple[int, list[str]]
_Place = tuple[int, Column]
_Reader = Callable[[str], Any]


def parse(text: str) -> Parsed:
    """Read a whole file. Nothing is raised: what is wrong with it is in `faults`, all of it."""
    parsed = Parsed()
    try:
        _parse(text, parsed)
    except _UnfitFileError as error:
        parsed.refuse(str(error), error.row)
    # Quotes that do not fit show before the rows above them are looked at.
    parsed.faults.sort(key=lambda fault: fault.row or 0)
    return parsed


def _parse(text: str, parsed: Parsed) -> None:
    for mark in _BYTE_ORDER_MARKS:
        text = text.removeprefix(mark)
    if "\0" in text or len(_NOT_TEXT.findall(text, 0, 4096)) > 8:
        raise _UnfitFileError("This is not a text. Export the positions as CSV.")
    if text.count("\n") + text.count("\r") > MAX_LINES:
        raise _UnfitFileError(f"The file has more than {MAX_LINES} lines.")
    named = _NAMES_DELIMITER.match(text)
    delimiter = named[1] if named else max(_DELIMITERS, key=lambda each: _fitness(text, each))
    records = list(islice(_records(text, delimiter, parsed), MAX_ROWS + 3))[1 if named else 0 :]
    if not records:
        if parsed.faults:
            return
        raise _UnfitFileError("The file is empty.")
    (row, header), *rows = records
    if sum(map(bool, header)) < 2:
        raise _UnfitFileError("Only one column was found: separate columns by commas, semicolons, tabs or |.", row)
    if len(header) > MAX_COLUMNS:
        raise _UnfitFileError(f"At most {MAX_COLUMNS} columns; this file has more.", row)
    if len(rows) > MAX_ROWS:
        raise _UnfitFileError(f"At most {MAX_ROWS} rows below the header; this file has more.")
    table = _Table(header, _places(row, header, parsed), parsed)
    if not rows and not parsed.faults:
        raise _UnfitFileError("There is no row below the header.")
    table.read(rows, delimiter)


def _fitness(text: str, delimiter: str) -> tuple[int, int]:
    """How many columns of the header are known under this delimiter, and how many there are."""
    _, header = next(_records(text, delimiter, Parsed()), (0, []))
    return sum(column is not None for column in recognised(header)), len(header)


def _records(text: str, delimiter: str, parsed: Parsed) -> Iterator[_Record]:
    """The rows that are not blank, with their numbers, up to the first whose quotes do not fit."""
    # Without newline="" the line breaks within cells would be translated.
    lines = io.StringIO(text, newline="")
    number = 0
    try:
        for number, cells in enumerate(csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True), 1):
            stripped = [cell.strip() for cell in cells[: MAX_COLUMNS + 1]]
            if any(stripped):
                yield number, stripped
    except csv.Error as error:
        # The module tells its errors apart by their words alone.
        too_long = "field limit" in str(error)
        parsed.refuse(_TOO_LONG if too_long else _UNFIT_QUOTES, number + 1)


def _places(row: int, header: Sequence[str], parsed: Parsed) -> list[_Place]:
    """Where each known column is. Those that are missing, or there twice, are faults."""
    places: dict[str, _Place] = {}
    for index, (name, column) in enumerate(zip(header, recognised(header), strict=True)):
        if column is None:
            parsed.ignored_columns += [_UNSHOWABLE.sub("\ufffd", name[:MAX_QUOTED])] if name else []
        elif column.field in places:
            first = header[places[column.field][0]][:MAX_QUOTED]
            parsed.refuse(f"{first} is {column.title} already: leave one of them out.", row, name, name)
        else:
            places[column.field] = index, column
    required = [column for column in COLUMNS if column.required]
    missing = [column for column in required if column.field not in places]
    if len(missing) == len(required):
        names = ", ".join(column.names[0] for column in required)
        raise _UnfitFileError(f"The first row does not name the columns: {names} and others.", row)
    for column in missing:
        parsed.refuse(f"A column for {column.title} is missing.", row, column.names[0])
    return list(places.values())


class _Table:
    """The rows below a header: each becomes a lot or faults."""

    def __init__(self, header: Sequence[str], places: Sequence[_Place], parsed: Parsed) -> None:
        self._header = header
        self._places = places
        self._index = {column.field: index for index, column in places}
        self._parsed = parsed

    def read(self, rows: Sequence[_Record], delimiter: str) -> None:
        readers = _readers("." if delimiter == "," else self._mark(rows))
        columns = [(index, column, readers[column.field]) for index, column in self._places]
        for row, cells in rows:
            if any(cells[len(self._header) :]):
                self._parsed.refuse("More cells than columns: put quotes around a cell that holds a separator.", row)
            found, unread = self._cells(row, cells, columns)
            _classify(found, unread)
            for name, message in _contradictions(found, unread):
                self._refuse(row, name, cells, message)
            if not self._parsed.faults:
                self._parsed.lots.append(Lot(**found))

    def _cells(
        self, row: int, cells: Sequence[str], columns: Sequence[tuple[int, Column, _Reader]]
    ) -> tuple[dict[str, Any], set[str]]:
        """The values of a row by field, and the fields whose cells are faults."""
        found: dict[str, Any] = {}
        unread: set[str] = set()
        for index, column, reader in columns:
            text = cells[index] if index < len(cells) else ""
            if not text and not column.required:
                continue
            try:
                found[column.field] = reader(text)
            except values.Unreadable as error:
                if column.required or text.casefold() not in _NOTHING:
                    unread.add(column.field)
                    self._refuse(row, column.field, cells, str(error) if text else "Not empty.")
        return found, unread

    def _mark(self, rows: Sequence[_Record]) -> values.Mark:
        numbers = [self._index[name] for name in _NUMBERS if name in self._index]
        return values.decimal_mark(cells[index] for _, cells in rows for index in numbers if index < len(cells))

    def _refuse(self, row: int, name: str, cells: Sequence[str], message: str) -> None:
        """A fault of this cell; where the header has no such column, of the one that is to be added."""
        index = self._index.get(name)
        if index is None:
            self._parsed.refuse(message, row, _BY_FIELD[name].names[0], "")
        else:
            self._parsed.refuse(message, row, self._header[index], cells[index] if index < len(cells) else "")


def _readers(mark: values.Mark) -> Mapping[str, _Reader]:
    return {
        "symbol": values.symbol,
        "quantity": partial(values.quantity, mark=mark),
        "entry_price": partial(values.price, mark=mark),
        "entry_date": values.day,
        "investment_class": values.investment_class,
        "strike_price": partial(values.strike, mark=mark),
        "option_type": values.option_type,
        "expiration": values.day,
        "exit_date": values.day,
        "exit_price": partial(values.price, mark=mark),
        "notes": values.notes,
    }


def _classify(found: dict[str, Any], unread: set[str]) -> None:
    """A row that does not name its class is an option if it has what only options have, else a stock."""
    if "investment_class" not in found and "investment_class" not in unread:
        is_option = not unread.isdisjoint(_OPTION_FIELDS) or not found.keys().isdisjoint(_OPTION_FIELDS)
        found["investment_class"] = InvestmentClass.OPTION if is_option else InvestmentClass.STOCK


def _contradictions(found: Mapping[str, Any], unread: set[str]) -> Iterator[tuple[str, str]]:
    """What one cell says against another, at the field to be changed. Of a cell that is a fault no more is said."""
    investment_class = found.get("investment_class")
    for name in _OPTION_FIELDS if investment_class else ():
        if investment_class is not InvestmentClass.OPTION and name in found:
            yield name, "Only an option has this."
        if investment_class is InvestmentClass.OPTION and name not in found and name not in unread:
            yield name, "An option has a strike price, an option type and an expiration."
    for name, other in (("exit_date", "exit_price"), ("exit_price", "exit_date")):
        if name not in found and name not in unread and (other in found or other in unread):
            yield name, "An exit has a date and a price."
    for name in ("expiration", "exit_date"):
        if name in found and "entry_date" in found and found[name] < found["entry_date"]:
            yield name, "Not before the entry date."
