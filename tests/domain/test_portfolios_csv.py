"""Brokers' files: the spellings they use, exact values, every fault at its place, and no exception for any text."""

import csv
import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.models import InvestmentClass, OptionType
from domain.portfolios_csv import MAX_COLUMNS, MAX_QUOTED, MAX_ROWS, Lot, Parsed, parse
from domain.portfolios_csv_columns import COLUMNS
from domain.portfolios_csv_values import MAX_SYMBOL
from errors import Fault

HEADER = "Symbol,Quantity,Entry Price,Entry Date"
OPTIONS = f"{HEADER},Investment Class,Strike,Option Type,Expiration,Exit Date,Exit Price,Notes"
A_NUMBER = "A number such as 1234.5, with at most 18 digits before the point and 8 after it."
A_DATE = "A date such as 2026-11-20, or month first as in 11/20/2026."

FIELDS = [column.field for column in COLUMNS]
DELIMITERS = [",", ";", "\t", "|"]


def one(cells: str, header: str = HEADER) -> Lot:
    parsed = parse(f"{header}\n{cells}\n")
    assert parsed.faults == []
    [lot] = parsed.lots
    return lot


def messages(cells: str, header: str = HEADER) -> dict[str | None, str]:
    """Of the one row of a file: its messages by column."""
    parsed = parse(f"{header}\n{cells}\n")
    assert all(fault.row == 2 for fault in parsed.faults)
    return {fault.column: fault.message for fault in parsed.faults}


def the_fault(text: str) -> str:
    [fault] = parse(text).faults
    return fault.message


def test_a_plain_row() -> None:
    lot = one("aapl,10,187.25,2026-11-20")
    assert lot == Lot("AAPL", Decimal(10), Decimal("187.25"), date(2026, 11, 20), InvestmentClass.STOCK)


def test_an_option_with_an_exit() -> None:
    lot = one('TSLA,-2,"$1,234.50",1/2/26,Options,250,c,12/18/2026,11/20/2026,0,"two\r\nlines, ""quoted"""', OPTIONS)
    assert lot == Lot(
        *("TSLA", Decimal(-2), Decimal("1234.5"), date(2026, 1, 2), InvestmentClass.OPTION, Decimal(250)),
        *(OptionType.CALL, date(2026, 12, 18), date(2026, 11, 20), Decimal(0), 'two\nlines, "quoted"'),
    )


@pytest.mark.parametrize(
    "header",
    [
        "Ticker,Qty,Avg Cost,Open Date",
        "symbol,shares,entry_price,entry_date",
        "SYMBOL, Quantity ,ENTRY-PRICE PER SHARE,Date Acquired",
        '"Instrument","Contracts","Cost/Share","Trade Date"',
        "Symbol,Qty.,Price ($),Purchase Date (US)",
        "\ufeffSymbol,Quantity,Entry Price,Entry Date",
        "ï»¿Symbol,Quantity,Entry Price,Entry Date",
        "sep=,\nSymbol,Quantity,Entry Price,Entry Date",
        "\n\n,,,\nSymbol,Quantity,Entry Price,Entry Date",
    ],
)
def test_headers_as_brokers_write_them(header: str) -> None:
    assert one("AAPL,1,2,2026-11-20", header).symbol == "AAPL"


def test_every_name_means_one_column() -> None:
    for column in COLUMNS:
        for name in column.names:
            others = [other.names[0] for other in COLUMNS if other is not column]
            parsed = parse(",".join([name, *others]) + "\nx\n")
            assert parsed.ignored_columns == []
            assert not any(fault.row == 1 for fault in parsed.faults), name


def test_unknown_columns_are_named_and_left_out() -> None:
    parsed = parse(f"{HEADER},Account,,Market Value\nAAPL,1,2,2026-11-20,X,,9\n")
    assert parsed.ignored_columns == ["Account", "Market Value"]
    assert len(parsed.lots) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1234.5", "1234.5"),
        ("1,234.50", "1234.5"),
        ("$1,234,567.89", "1234567.89"),
        ("1'234.5", "1234.5"),
        ("1 234.5", "1234.5"),
        ("1\u202f234.5", "1234.5"),
        ("(12.5)", "-12.5"),
        ("($1,200)", "-1200"),
        ("-$3", "-3"),
        ("$-3", "-3"),
        ("\u22123", "-3"),
        ("+3", "3"),
        (".5", "0.5"),
        ("007", "7"),
        ("0.123456780000", "0.12345678"),
        ("000123456789012345678", "123456789012345678"),
        ("123456789012345678.12345678", "123456789012345678.12345678"),
    ],
)
def test_numbers_are_exact(text: str, value: str) -> None:
    assert one(f'A,"{text}",1,2026-11-20').quantity == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "Infinity", "-inf", "1e400", "1E5", "0x10", "1_000", "١٢", "12 %", "--1", "(-1)", "(1", "1)", "1-"),
        *("9" * 40, "1234567890123456789", "0.123456789", "1.2.3", "12,34", "1,23,456", "1.234,50", ",", ".", "1 2"),
        *("USD 5", "5 €$", "abc", " " * 900 + "x", "(" * 900, "1," * 400, "9" * 1000),
    ],
)
def test_what_is_no_number_here(text: str) -> None:
    assert messages(f'A,"{text}",1,2026-11-20') == {"Quantity": A_NUMBER}


@pytest.mark.parametrize("zero", ["0", "-0", "0.000", "$0", "(0)"])
def test_a_quantity_is_not_zero(zero: str) -> None:
    assert messages(f"A,{zero},1,2026-11-20") == {"Quantity": "Not zero: below zero for a short."}


def test_prices_are_not_below_zero() -> None:
    cells = "A,1,-1,2026-01-01,,0,C,2027-01-01,2026-01-02,(1)"
    found = messages(cells, OPTIONS)
    assert found == {
        "Entry Price": "Not below zero: a short is a quantity below zero.",
        "Strike": "Above zero.",
        "Exit Price": "Not below zero: a short is a quantity below zero.",
    }


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.234,50", "1.234"], ["1234.5", "1234"]),
        (["12,5", "1,234"], ["12.5", "1.234"]),
        (["0,125", "1.234.567"], ["0.125", "1234567"]),
        (["12.5", "1,234"], ["12.5", "1234"]),
        (["1,234.50", "1.234"], ["1234.5", "1.234"]),
        (["12,5", "12.5"], ["12.5", "12.5"]),
        (["10", "20"], ["10", "20"]),
    ],
)
@pytest.mark.parametrize("delimiter", DELIMITERS[1:])
def test_the_decimal_mark_is_the_files(delimiter: str, cells: list[str], values: list[str]) -> None:
    lines = [HEADER.replace(",", delimiter), *(delimiter.join(["A", cell, "1", "2026-11-20"]) for cell in cells)]
    parsed = parse("\n".join(lines))
    assert (parsed.faults, [lot.quantity for lot in parsed.lots]) == ([], [Decimal(value) for value in values])


@pytest.mark.parametrize("cells", [["1.234"], ["1,234"], ["1.234", "12,5", "12.5"]])
def test_what_could_be_a_thousand_or_one_is_asked_back(cells: list[str]) -> None:
    parsed = parse("Symbol;Qty;Price;Date\n" + "".join(f"A;{cell};1;2026-11-20\n" for cell in cells))
    [fault] = parsed.faults
    assert (fault.row, fault.value) == (2, cells[0])
    assert fault.message == "Either a thousands separator or a decimal mark: write 1234.00 or 1.2340."


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-20", date(2026, 11, 20)),
        ("2026-1-2", date(2026, 1, 2)),
        ("20261120", date(2026, 11, 20)),
        ("2026-11-20T23:30:00-05:00", date(2026, 11, 20)),
        ("2026-11-20 09:30:00.123Z", date(2026, 11, 20)),
        ("2026-11-20, 09:30", date(2026, 11, 20)),
        ("11/20/2026", date(2026, 11, 20)),
        ("1/2/26", date(2026, 1, 2)),
        ("1/2/69", date(1969, 1, 2)),
        ("11/20/2026 9:30 AM", date(2026, 11, 20)),
        ("02/29/2028", date(2028, 2, 29)),
    ],
)
def test_dates(text: str, day: date) -> None:
    assert one(f'A,1,1,"{text}"').entry_date == day


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("20/11/2026", f"There is no such day. {A_DATE}"),
        ("2026-02-30", f"There is no such day. {A_DATE}"),
        ("2/29/2026", f"There is no such day. {A_DATE}"),
        ("0/0/0000", "A year from 1900 to 2199."),
        ("0226-11-20", "A year from 1900 to 2199."),
        ("20.11.2026", A_DATE),
        ("Nov 20 2026", A_DATE),
        ("2026-11-20 25:00", A_DATE),
        ("2026-W47-5", A_DATE),
        ("46000", A_DATE),
        ("1/2/026", A_DATE),
        ("2026-11-20x", A_DATE),
        ("٢٠٢٦-١١-٢٠", A_DATE),
    ],
)
def test_what_is_no_date(text: str, message: str) -> None:
    assert messages(f'A,1,1,"{text}"') == {"Entry Date": message}


@pytest.mark.parametrize("word", ["Stock", "STK", "equities", "common stock", "Common-Stock", "cs", "", "n/a", "--"])
def test_words_for_a_stock(word: str) -> None:
    assert one(f"A,1,1,2026-11-20,{word}", f"{HEADER},Type").investment_class is InvestmentClass.STOCK


@pytest.mark.parametrize("given", ["5,P,2027-01-01", "5,put,1/1/27"])
def test_an_option_need_not_be_called_one(given: str) -> None:
    lot = one(f"A,1,1,2026-11-20,{given}", f"{HEADER},Strike Price,Right,Expiry")
    assert (lot.investment_class, lot.option_type) == (InvestmentClass.OPTION, OptionType.PUT)


WHOLE = "An option has a strike price, an option type and an expiration."


@pytest.mark.parametrize(
    ("cells", "faults"),
    [
        ("A,1,1,2026-01-01,Option,,,", {"Strike": WHOLE, "Option Type": WHOLE, "Expiration": WHOLE}),
        ("A,1,1,2026-01-01,,5,,", {"Option Type": WHOLE, "Expiration": WHOLE}),
        ("A,1,1,2026-01-01,,,x,", {"Option Type": "One of CALL, PUT.", "Strike": WHOLE, "Expiration": WHOLE}),
        ("A,1,1,2026-01-01,Stock,5,,", {"Strike": "Only an option has this."}),
        ("A,1,1,2026-01-01,Future,5,,", {"Investment Class": f"One of {', '.join(InvestmentClass)}."}),
        ("A,1,1,2026-01-02,,5,C,2026-01-01", {"Expiration": "Not before the entry date."}),
        (
            "A,1,1,2026-01-02,,,,,2026-01-01",
            {"Exit Price": "An exit has a date and a price.", "Exit Date": "Not before the entry date."},
        ),
        ("A,1,1,2026-01-02,,,,,,5", {"Exit Date": "An exit has a date and a price."}),
        ("A,1,1,x,,,,,y,5", {"Entry Date": A_DATE, "Exit Date": A_DATE}),
        (",,,,Stock", dict.fromkeys(["Symbol", "Quantity", "Entry Price", "Entry Date"], "Not empty.")),
        ("A,1", {"Entry Price": "Not empty.", "Entry Date": "Not empty."}),
    ],
)
def test_faults_of_a_row(cells: str, faults: dict[str, str]) -> None:
    assert messages(cells, OPTIONS) == faults


def test_a_missing_column_is_named_as_it_should_be() -> None:
    parsed = parse("Symbol,Qty,Price,Date,Strike\nA,1,1,2026-01-01,5\n")
    assert {(fault.row, fault.column, fault.value) for fault in parsed.faults} == {
        (2, "Option Type", ""),
        (2, "Expiration", ""),
    }


def test_more_cells_than_columns() -> None:
    assert messages("A,1,234,5,2026-01-01") == {
        None: "More cells than columns: put quotes around a cell that holds a separator.",
        "Entry Date": A_DATE,
    }
    assert one("A,1,2,2026-01-01,,,").symbol == "A"


@pytest.mark.parametrize(
    "symbol", ["=1+1", "=HYPERLINK('http://x')", "@SUM(A1)", "+CMD|' /C CALC'!A0", "-2+3", "BRK B", "日経225", "X" * 32]
)
def test_a_formula_stays_text(symbol: str) -> None:
    assert one(f'"{symbol}",1,1,2026-01-01').symbol == symbol.upper()
    assert one(f'A,1,1,2026-01-01,"{symbol}"', f"{HEADER},Notes").notes == symbol


@pytest.mark.parametrize(
    ("symbol", "message"),
    [
        ("X" * 33, f"At most {MAX_SYMBOL} characters."),
        ("ß" * 17, f"At most {MAX_SYMBOL} characters."),
        ("A\u200bB", "Visible characters only."),
        ("A\x01B", "Visible characters only."),
        ("A\nB", "Visible characters only."),
    ],
)
def test_no_symbol(symbol: str, message: str) -> None:
    assert messages(f'"{symbol}",1,1,2026-01-01') == {"Symbol": message}


def test_notes() -> None:
    header = f"{HEADER},Notes"
    assert one('A,1,1,2026-01-01,"a\tb\rc"', header).notes == "a\tb\nc"
    assert one("A,1,1,2026-01-01,n/a", header).notes == "n/a"
    assert messages(f"A,1,1,2026-01-01,{'x' * 1001}", header) == {"Notes": "At most 1000 characters."}
    assert messages("A,1,1,2026-01-01,a\x1bb", header) == {"Notes": "No control characters."}


def test_rows_are_counted_as_a_spreadsheet_does() -> None:
    text = f'\r\n{HEADER},Notes\r\nA,1,1,2026-01-01,"a\r\nb"\r\n\r\n,,,\r\nB,x,1,2026-01-01\r\n'
    [fault] = parse(text).faults
    assert fault == Fault("input.csv", A_NUMBER, 6, "Quantity", "x")


def test_every_fault_of_every_row_in_one_answer() -> None:
    parsed = parse(f"{HEADER},Ticker\n" + "A,x,-1,soon,B\n" * 1000)
    assert len(parsed.faults) == 1 + 3 * 1000
    assert [fault.row for fault in parsed.faults[-3:]] == [1001] * 3
    assert parsed.lots == []


def test_values_are_cut() -> None:
    [fault] = parse(f"{HEADER}\nA,{'x' * 500},1,2026-01-01\n").faults
    assert fault.value == "x" * MAX_QUOTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The file is empty."),
        ("\ufeff", "The file is empty."),
        ("\r\n \n\t\n", "The file is empty."),
        (HEADER, "There is no row below the header."),
        ("Symbol\nAAPL\nMSFT\n", "Only one column was found: separate columns by commas, semicolons, tabs or |."),
        ("Symbol Quantity\nA 1\n", "Only one column was found: separate columns by commas, semicolons, tabs or |."),
        (
            "AAPL,1,2,2026-01-01\nMSFT,1,2,2026-01-01\n",
            "The first row does not name the columns: Symbol, Quantity, Entry Price Per Share, Entry Date and others.",
        ),
        ("PK\x03\x04\x14\0\x06\0\x08\0", "This is not a text. Export the positions as CSV."),
        ("\x89PNG\r\n\x1a\n" + "\ufffd" * 50, "This is not a text. Export the positions as CSV."),
        (f"{HEADER}\nA,1,1\0,2026-01-01", "This is not a text. Export the positions as CSV."),
        (f"{HEADER}{',x' * MAX_COLUMNS}\n", f"At most {MAX_COLUMNS} columns; this file has more."),
        (
            f"{HEADER}\n" + "x,y\n" * (MAX_ROWS + 1),
            f"At most {MAX_ROWS} rows below the header; this file has more.",
        ),
    ],
)
def test_files_that_cannot_be_read(text: str, message: str) -> None:
    assert the_fault(text) == message


@pytest.mark.parametrize("broken", ['"A,1,1,2026-01-01', '"A"x,1,1,2026-01-01'])
def test_quotes_that_do_not_fit(broken: str) -> None:
    parsed = parse(f"{HEADER}\nA,x,1,2026-01-01\n{broken}\nB,x,1,2026-01-01\n")
    assert [fault.row for fault in parsed.faults] == [2, 3]
    assert parsed.faults[1].message.startswith("The quotes here do not fit")


@pytest.mark.parametrize("long", [f'A,1,1,2026-01-01,"{"x" * 140_000}"', "A,1,1,2026-01-01," + "x" * 140_000])
def test_a_cell_that_is_too_long_is_told_apart(long: str) -> None:
    parsed = parse(f"{HEADER},Notes\nA,x,1,2026-01-01,\n{long}\nB,x,1,2026-01-01,\n")
    assert [fault.row for fault in parsed.faults] == [2, 3]
    assert parsed.faults[1].message.startswith("A cell here has more than 131072 characters")


def test_ten_thousand_rows_are_read() -> None:
    row = 'MSFT,"1,200","$1,234.50",11/20/2026,Option,200.5,Call,1/15/2027,,,"bought, ""cheap"""\n'
    text = f"{OPTIONS}\n{row * MAX_ROWS}"
    parsed = parse(text)
    assert (len(parsed.lots), parsed.faults) == (MAX_ROWS, [])


DAYS = st.dates(date(1970, 1, 1), date(2068, 12, 31))
PRICES = st.decimals(0, 10**17, places=4, allow_nan=False)
QUANTITIES = st.decimals(-(10**17), 10**17, places=8, allow_nan=False).filter(bool)
VISIBLE = st.characters(categories=["L", "N", "P", "S"])
SYMBOLS = st.text(VISIBLE, min_size=1, max_size=8).map(str.upper)
NOTES = st.none() | st.text(VISIBLE | st.sampled_from(" ,;\t|\n\"'"), max_size=40).map(
    lambda text: text.strip() or None
)


@st.composite
def lots(draw: st.DrawFn) -> Lot:
    entered = draw(DAYS)
    later = st.dates(entered, date(2068, 12, 31))
    lot = Lot(draw(SYMBOLS), draw(QUANTITIES), draw(PRICES), entered, InvestmentClass.STOCK, notes=draw(NOTES))
    if draw(st.booleans()):
        strike = draw(PRICES.filter(bool))
        kind, expires = draw(st.sampled_from(OptionType)), draw(later)
        lot = lot._replace(
            investment_class=InvestmentClass.OPTION, strike_price=strike, option_type=kind, expiration=expires
        )
    else:
        others = [kind for kind in InvestmentClass if kind is not InvestmentClass.OPTION]
        lot = lot._replace(investment_class=draw(st.sampled_from(others)))
    if draw(st.booleans()):
        lot = lot._replace(exit_date=draw(later), exit_price=draw(PRICES))
    return lot


def in_english(value: Decimal) -> str:
    return f"{value:,f}"


def in_german(value: Decimal) -> str:
    return f"{value:,f}".translate(str.maketrans(",.", ".,"))


def in_accounting(value: Decimal) -> str:
    return f"(${-value:,f})" if value < 0 else f"${value:,f}"


NUMBERS = {"plain": lambda value: f"{value:f}", "english": in_english, "accounting": in_accounting}
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper": str.upper,
    "snake": lambda name: name.lower().replace(" ", "_"),
}
SPELLINGS = {
    "iso": date.isoformat,
    "us": lambda day: f"{day.month}/{day.day}/{day.year}",
    "short": lambda day: f"{day:%m/%d/%y}",
    "with a time": lambda day: f"{day} 09:30:00",
}


def written(given: list[Lot], spell: dict[type, Any], header: list[str], **dialect: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, **dialect)
    writer.writerow(header)
    for lot in given:
        cells = [spell.get(type(value), str)(value) if value is not None else "" for value in lot]
        writer.writerow([cells[FIELDS_OF_LOT.index(name)] for name in FIELDS])
    return out.getvalue()


FIELDS_OF_LOT = list(Lot._fields)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_a_broker_wrote_is_what_is_read(data: st.DataObject) -> None:
    given = data.draw(st.lists(lots(), min_size=1, max_size=5))
    delimiter = data.draw(st.sampled_from(DELIMITERS))
    number = NUMBERS[data.draw(st.sampled_from(sorted(NUMBERS)))]
    spell_date = SPELLINGS[data.draw(st.sampled_from(sorted(SPELLINGS)))]
    header = [data.draw(st.sampled_from(column.names)) for column in COLUMNS]
    shout = WRITTEN[data.draw(st.sampled_from(sorted(WRITTEN)))]
    ending = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    # Who ends lines by \r alone has to quote a note of several lines; Python's writer would not.
    quoting = csv.QUOTE_ALL if ending == "\r" else data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    text = written(
        given,
        {Decimal: number, date: spell_date},
        [shout(name) for name in header],
        delimiter=delimiter,
        lineterminator=ending,
        quoting=quoting,
    )
    parsed = parse(data.draw(st.sampled_from(["", "\ufeff", "ï»¿"])) + text)
    assert (parsed.faults, parsed.ignored_columns) == ([], [])
    assert parsed.lots == given


@given(st.lists(lots(), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_what_a_german_broker_wrote(given: list[Lot]) -> None:
    header = [column.names[0] for column in COLUMNS]
    parsed = parse(written(given, {Decimal: in_german, date: date.isoformat}, header, delimiter=";"))
    assert (parsed.faults, parsed.lots) == ([], given)


ALPHABET = st.sampled_from([*'",;|\t\r\n =()$.-/0123456789ABCsymbolqtyprice\0\ufeff\ud800', HEADER, "2026-01-01"])


@given(st.text() | st.lists(ALPHABET, max_size=80).map("".join))
@settings(max_examples=400, deadline=None)
def test_no_text_breaks_it(text: str) -> None:
    for whole in (text, f"{HEADER}\n{text}", f"Symbol;Qty;Price;Date\n{text}"):
        parsed = parse(whole)
        assert parsed.lots or parsed.faults
        for fault in parsed.faults:
            assert fault.path == "input.csv"
            for quoted in (fault.column, fault.value):
                assert len(quoted or "") <= MAX_QUOTED
                assert "\0" not in (quoted or "")
                (quoted or "").encode()


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.sampled_from(["quantity", "entry_price", "entry_date"]))
@settings(max_examples=60, deadline=None)
def test_faults_are_at_their_rows(good: list[bool], field: str) -> None:
    cells = {"symbol": "A", "quantity": "1", "entry_price": "1", "entry_date": "2026-01-01"}
    names = dict(zip(cells, HEADER.split(","), strict=True))
    rows = [",".join((cells if fits else cells | {field: "?"}).values()) for fits in good]
    parsed: Parsed = parse("\n".join([HEADER, *rows]))
    found = [(fault.row, fault.column, fault.value) for fault in parsed.faults]
    assert found == [(row, names[field], "?") for row, fits in enumerate(good, 2) if not fits]
