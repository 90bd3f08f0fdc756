"""The import of a file beside a bare COPY of its rows."""

import csv
import io
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import domain
from benchmarks.comparing import Contestant, Line, Say, Standing, compare, once_per_second
from benchmarks.world import World, actor
from db.models import new_id
from db.session import Database
from domain import portfolios_csv
from domain.actor import Actor
from domain.plans import load

COLUMNS = ("id", "portfolio_id", "symbol", "quantity", "entry_price", "entry_date", "investment_class")
FIRST_DAY = date(2020, 1, 1)
Lot = tuple[str, Decimal, Decimal, int]
"""Symbol, quantity, price, and how many days after the first."""


async def importing(world: World, say: Say) -> list[Line]:
    """Each time into a new portfolio."""
    count = world.sizes.rows
    lots = [
        (f"SYM{number % 500}", Decimal(number % 900 + 1) / 4, Decimal(number * 37 % 90_000 + 1) / 100, number % 2_000)
        for number in range(count)
    ]
    text = as_csv(lots)
    [owner] = await world.accounts(1)
    database = Database(world.url)
    try:
        async with world.connections(1) as [connection]:
            await connection.execute("create table bare_positions (like positions including all)")
            copied = partial(once_per_second, partial(_copied, connection, lots))
            imported = partial(_imported, database, actor(owner), text)
            contestants = [Contestant("COPY", copied), Contestant("import", imported)]
            figures = await compare(contestants, world.sizes.rounds, lambda what: say(f"import: {what}"))
    finally:
        await database.close()
    times = {name: [1_000 / figure for figure in of] for name, of in figures.items()}
    took = Standing(times["import"], times["COPY"])
    return [took.line(f"time of an import of {count:,} rows / of a bare COPY", "ms", "below 2,000 ms")]


def as_csv(lots: Sequence[Lot]) -> str:
    """The file that a broker would give."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("Symbol", "Quantity", "Entry Price Per Share", "Entry Date", "Investment Class"))
    writer.writerows((symbol, quantity, price, _day(day), "stock") for symbol, quantity, price, day in lots)
    return file.getvalue()


def _day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


async def _copied(connection: Any, lots: Sequence[Lot]) -> None:
    portfolio = new_id()
    records = [
        (new_id(), portfolio, symbol, quantity, price, _day(day), "STOCK") for symbol, quantity, price, day in lots
    ]
    await connection.copy_records_to_table("bare_positions", columns=COLUMNS, records=records)


async def _imported(database: Database, owner: Actor, text: str) -> float:
    async with database.transaction() as session:
        portfolio, _ = await domain.portfolios.create(
            session, load(None), owner, name="Benchmark", description=None, currency="USD"
        )
    return await once_per_second(partial(_import, database, owner, portfolio, text))


async def _import(database: Database, owner: Actor, portfolio: UUID, text: str) -> None:
    async with database.transaction() as session:
        file = portfolios_csv.parse(text)
        await domain.portfolios.import_positions(session, owner, portfolio, file, replace=False, dry_run=False)
