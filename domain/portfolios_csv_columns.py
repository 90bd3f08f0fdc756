"""Which column of a broker's file is which: names as brokers write them. What its cells hold is not read here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """`field` of a lot, what to call it in a message, and the names it goes by, the first one to be recommended."""

    field: str
    title: str
    names: tuple[str, ...]
    required: bool = False


COLUMNS = (
    Column(
        "symbol",
        "the symbol",
        ("Symbol", "Ticker", "Ticker Symbol", "Stock Symbol", "Instrument", "Security", "Underlying"),
        required=True,
    ),
    Column(
        "quantity",
        "the quantity",
        ("Quantity", "Qty", "Shares", "Contracts", "Units", "Number of Shares", "No. of Shares", "Position Size"),
        required=True,
    ),
    Column(
        "entry_price",
        "the entry price",
        (
            *("Entry Price Per Share", "Entry Price", "Price", "Price Per Share", "Unit Price", "Trade Price"),
            *("Cost Per Share", "Cost/Share", "Unit Cost", "Avg Cost", "Average Cost", "Avg Cost Per Share"),
            *("Average Cost Per Share", "Avg Price", "Average Price", "Avg Entry Price", "Average Entry Price"),
            *("Purchase Price", "Purchase Price Per Share", "Buy Price", "Open Price", "Opening Price", "Fill Price"),
            *("Average Cost Basis", "Cost Basis Per Share"),
        ),
        required=True,
    ),
    Column(
        "entry_date",
        "the entry date",
        (
            *("Entry Date", "Open Date", "Opening Date", "Date Opened", "Opened", "Trade Date", "Transaction Date"),
            *("Purchase Date", "Buy Date", "Date Acquired", "Acquired", "Acquisition Date", "Date"),
        ),
        required=True,
    ),
    Column(
        "investment_class",
        "the investment class",
        (
            *("Investment Class", "Asset Class", "Asset Type", "Asset Category", "Investment Type"),
            *("Instrument Type", "Security Type", "Sec Type", "Product Type", "Class", "Type"),
        ),
    ),
    Column("strike_price", "the strike price", ("Strike Price", "Strike")),
    Column(
        "option_type",
        "the option type",
        ("Option Type", "Call/Put", "Put/Call", "Call or Put", "Put or Call", "C/P", "P/C", "Right", "Option Right"),
    ),
    Column(
        "expiration",
        "the expiration",
        (
            *("Expiration", "Expiration Date", "Expiry", "Expiry Date", "Exp", "Exp Date", "Expires"),
            *("Option Expiration", "Option Expiration Date", "Maturity", "Maturity Date"),
        ),
    ),
    Column(
        "exit_date",
        "the exit date",
        (
            *("Exit Date", "Close Date", "Closing Date", "Date Closed", "Closed"),
            *("Sell Date", "Sale Date", "Date Sold", "Sold"),
        ),
    ),
    Column(
        "exit_price",
        "the exit price",
        (
            *("Exit Price Per Share", "Exit Price", "Close Price", "Sell Price", "Sale Price"),
            *("Close Price Per Share", "Sell Price Per Share", "Sale Price Per Share"),
        ),
    ),
    Column("notes", "the notes", ("Notes", "Note", "Comment", "Comments", "Remark", "Remarks", "Memo")),
)

_IN_PARENTHESES = re.compile(r"\([^()]*+\)")
_SEPARATORS = re.compile(r"[\W_]+")


def _folded(name: str) -> str:
    """Case, separators and what stands in parentheses forgiven: `entry_price/share ($)` is `entrypriceshare`."""
    return _SEPARATORS.sub("", _IN_PARENTHESES.sub("", name)).casefold()


_KNOWN = {_folded(name): column for column in COLUMNS for name in column.names}


def recognised(header: Sequence[str]) -> list[Column | None]:
    """The column that each name of the header means; None for one that is not known."""
    return [_KNOWN.get(_folded(name)) for name in header]
