"""Windows of a relation walk its whole order, whatever the sizes and directions; cursors are of one spelling each."""

import base64
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cmp_to_key
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import ARRAY, BigInteger, DateTime, Text, delete, func, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from db.queries.paging import Order, Position, Window, order_of
from db.queries.relation import Relation
from db.session import Database, Row


class _Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text}  # noqa: RUF012 - SQLAlchemy reads it


class Lot(_Base):
    __tablename__ = "paging_lots"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[UUID] = mapped_column(index=True)
    name: Mapped[str]
    amount: Mapped[Decimal]
    day: Mapped[date]
    moment: Mapped[datetime]
    rank: Mapped[int]
    big: Mapped[int] = mapped_column(BigInteger)
    closed: Mapped[bool]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=[])
    note: Mapped[str | None]


FOLDED = func.lower(Lot.name, type_=Text()).label("folded")
COLUMNS = (
    *(Lot.id, Lot.owner, Lot.name, Lot.amount, Lot.day, Lot.moment, Lot.rank, Lot.big, Lot.closed, Lot.note),
    Lot.tags,
    FOLDED,
)


def related(*order_by: Any) -> Relation:
    return Relation(children=select(*COLUMNS), key=Lot.owner, order_by=order_by)


BY_ID = related(Lot.id)
RELATIONS = [
    BY_ID,
    related(Lot.id.desc()),
    related(Lot.moment.desc(), Lot.id.desc()),
    related(Lot.moment, Lot.id.desc()),
    related(Lot.amount.desc(), Lot.day, Lot.id),
    related(Lot.name, Lot.rank.desc(), Lot.id),
    related(Lot.closed, Lot.big.desc(), Lot.id),
    related(FOLDED.desc(), Lot.id),
]
OWNERS = [UUID(int=number) for number in (1, 2, 3)]
NOBODY = UUID(int=9)
DIALECT: Any = postgresql.asyncpg.dialect
MOMENT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def lot(owner: UUID, chance: random.Random) -> dict[str, Any]:
    """Few values for each column, so that there are ties everywhere."""
    return {
        "id": UUID(int=chance.getrandbits(128)),
        "owner": owner,
        "name": chance.choice(["", "a", "A", "B", 'ä"\\\n', "𝒳"]),
        "amount": chance.choice([Decimal(text) for text in ("-1.5", "0", "0.00", "1.50", "1.5", "1E+30")]),
        "day": chance.choice([date(1, 1, 1), date(2026, 11, 20), date(9999, 12, 31)]),
        "moment": MOMENT + timedelta(microseconds=chance.randint(-2, 2)),
        "rank": chance.choice([-(2**31), 0, 2**31 - 1]),
        "big": chance.choice([-(2**63), 0, 2**63 - 1]),
        "closed": chance.random() < 0.5,
    }


async def store(session: AsyncSession, lots: Sequence[dict[str, Any]]) -> None:
    await session.execute(insert(Lot), lots)


@pytest.fixture(scope="module")
async def owner_of_tables(database_url: str) -> AsyncIterator[Any]:
    """A connection of the superuser's: the application owns no tables."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("drop table if exists paging_lots")
    await connection.execute(str(CreateTable(_Base.metadata.tables[Lot.__tablename__]).compile(dialect=DIALECT())))
    await connection.execute("create index on paging_lots (owner, moment desc, id desc)")
    await connection.execute("grant select, insert, delete on paging_lots to public")
    yield connection
    await connection.execute("drop table paging_lots")
    await connection.close()


@pytest.fixture(scope="module")
async def stored(database: Database, owner_of_tables: Any) -> Database:
    assert owner_of_tables
    async with database.transaction() as session:
        for owner, count in zip(OWNERS, (40, 7, 1), strict=True):
            await store(session, [lot(owner, random.Random(count * number)) for number in range(1, count + 1)])
    return database


async def sorted_ids(database: Database, relation: Relation, owner: UUID) -> list[UUID]:
    """As Python orders them: the model."""
    rows = list(await database.rows(relation.children.where(relation.key == owner)))

    def compare(one: Row, other: Row) -> int:
        for term in order_of(relation).terms:
            mine, theirs = getattr(one, term.name), getattr(other, term.name)
            if mine != theirs:
                return (1 if mine > theirs else -1) * (-1 if term.descending else 1)
        return 0

    return [row.id for row in sorted(rows, key=cmp_to_key(compare))]


async def page(database: Database, order: Order, owner: UUID, window: Window) -> tuple[list[Row], bool]:
    rows = list(await database.rows(order.window([owner], window)))
    kept = rows[: window.size]
    return kept[::-1] if window.backwards else kept, len(rows) > window.size


def through(order: Order, row: Row) -> Position:
    """The place of a row, by way of its cursor as a client has it."""
    position = order.position(order.cursor(row))
    assert position is not None
    return position


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: ", ".join(map(str, relation.order_by)))
@examples(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*OWNERS, NOBODY]), st.integers(1, 41), st.integers(1, 41))
async def test_pages_in_both_directions_are_the_sorted_list(
    stored: Database, relation: Relation, owner: UUID, forwards: int, backwards: int
) -> None:
    order = order_of(relation)
    expected = await sorted_ids(stored, relation, owner)
    walked: list[UUID] = []
    after, more = None, True
    while more:
        rows, more = await page(stored, order, owner, Window(forwards, after=after))
        walked += [row.id for row in rows]
        assert len(walked) <= len(expected)
        after = through(order, rows[-1]) if rows else None
    assert walked == expected
    walked = []
    before, more = None, True
    while more:
        rows, more = await page(stored, order, owner, Window(backwards, backwards=True, before=before))
        walked[:0] = [row.id for row in rows]
        assert len(walked) <= len(expected)
        before = through(order, rows[0]) if rows else None
    assert walked == expected


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: ", ".join(map(str, relation.order_by)))
@examples(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_a_window_of_many_parents_is_that_of_each(stored: Database, relation: Relation, data: Any) -> None:
    """With bounds on both sides, in both directions, and places that are in the lists of others."""
    order = order_of(relation)
    everything = [row for owner in OWNERS for row in await stored.rows(order.window([owner], Window(99)))]
    after, before = (data.draw(st.none() | st.sampled_from(everything)) for _ in range(2))
    window = Window(
        data.draw(st.integers(1, 41)),
        backwards=data.draw(st.booleans()),
        after=after and through(order, after),
        before=before and through(order, before),
    )
    together = await stored.rows(order.window([*OWNERS, NOBODY], window))
    for owner in [*OWNERS, NOBODY]:
        alone = await stored.rows(order.window([owner], window))
        assert [row for row in together if row.owner == owner] == alone
        expected = await sorted_ids(stored, relation, owner)
        bounded = [row.id for row in alone]
        assert set(bounded) <= set(expected)
        if after and after.owner == owner:
            assert after.id not in bounded
        if after and before and after.owner == before.owner == owner:
            inside = expected[expected.index(after.id) + 1 : expected.index(before.id)]
            wanted = inside[::-1] if window.backwards else inside
            assert bounded == wanted[: window.size + 1]


async def test_a_plain_list_and_a_count_know_each_parent(stored: Database) -> None:
    short = Relation(children=select(*COLUMNS), key=Lot.owner, order_by=(Lot.closed.is_(True), Lot.id), limit=5)
    listed = await stored.rows(short.of([*OWNERS, NOBODY]))
    assert [sum(row.owner == owner for row in listed) for owner in OWNERS] == [5, 5, 1]
    assert [row for row in listed if row.owner == OWNERS[0]] == await stored.rows(short.of(OWNERS[:1]))
    counts = {row.parent: row.children for row in await stored.rows(short.count([*OWNERS, NOBODY]))}
    assert counts == dict(zip([*OWNERS, NOBODY], (40, 7, 1, 0), strict=True))


async def test_what_is_inserted_or_deleted_on_the_way_moves_nothing_else(stored: Database) -> None:
    relation = related(Lot.moment.desc(), Lot.id.desc())
    order, owner, chance = order_of(relation), UUID(int=100), random.Random(12345)
    async with stored.transaction() as session:
        await store(session, [lot(owner, chance) for _ in range(30)])
    expected = await sorted_ids(stored, relation, owner)
    walked: list[UUID] = []
    after, more = None, True
    while more:
        rows, more = await page(stored, order, owner, Window(4, after=after))
        walked += [row.id for row in rows]
        assert len(walked) == len(set(walked))
        after = through(order, rows[-1])
        async with stored.transaction() as session:
            await store(session, [lot(owner, chance) for _ in range(3)])
            # The row that the cursor was made of may go too.
            await session.execute(delete(Lot).where(Lot.id == rows[-1].id))
    assert [one for one in walked if one in set(expected)] == expected


@pytest.mark.usefixtures("stored")
async def test_only_the_rows_of_the_window_are_read(owner_of_tables: Any) -> None:
    """Of 2 x 5,000 rows, and along the index in either direction."""
    relation = related(Lot.moment.desc(), Lot.id.desc())
    owners = [UUID(int=200), UUID(int=201)]
    await owner_of_tables.execute(
        "insert into paging_lots (id, owner, name, amount, day, moment, rank, big, closed, tags) "
        "select gen_random_uuid(), case when i % 2 = 0 then $1::uuid else $2 end, 'x', 1, '2026-01-01', "
        "'2026-01-01'::timestamptz + i * interval '1 s', 1, 1, false, '{}' from generate_series(1, 10000) i",
        *owners,
    )
    await owner_of_tables.execute("analyze paging_lots")
    middle = (datetime(2026, 1, 1, 1, tzinfo=UTC), UUID(int=0))
    for window in (Window(20), Window(20, after=middle), Window(20, backwards=True, before=middle)):
        for parents in (owners[:1], owners):
            read = order_of(relation).window(parents, window)
            explain = f"explain (analyze, format json) {read.prepared.sql}"
            plan = json.loads(await owner_of_tables.fetchval(explain, *read.arguments()))
            assert most_rows(plan) <= 21 * len(parents), plan


def most_rows(plan: Any) -> float:
    """Of any step: rows that it gave or threw away, over all its loops."""
    if isinstance(plan, list):
        return max(map(most_rows, plan), default=0)
    node = plan.get("Plan", plan)
    here: float = (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)) * node.get("Actual Loops", 1)
    return max(here, most_rows(node.get("Plans", [])))


@pytest.mark.parametrize(
    ("order_by", "word"),
    [
        ((Lot.name,), "unique"),
        ((Lot.id, Lot.name), "unique"),
        ((Lot.note, Lot.id), "null"),
        ((Lot.name.is_(None), Lot.id), "selected"),
        ((func.upper(Lot.name).label("folded"), Lot.id), "selected"),
        ((Lot.tags, Lot.id), "type"),
    ],
)
def test_an_order_that_cannot_be_paged_is_a_mistake_of_ours(order_by: tuple[Any, ...], word: str) -> None:
    with pytest.raises(TypeError, match=word):
        order_of(related(*order_by))


EVERYTHING = order_of(
    related(*(getattr(Lot, name) for name in ("name", "amount", "day", "moment", "rank", "big")), Lot.id)
)
PLACE = ["x", "1.5", "2026-11-20", "2026-11-20T12:00:00.000000Z", 7, 2**40, "00000000-0000-0000-0000-000000000001"]


def spelled(values: Sequence[Any], tag: str = EVERYTHING.tag) -> str:
    return (
        base64.urlsafe_b64encode(json.dumps([tag, *values], ensure_ascii=False, separators=(",", ":")).encode())
        .rstrip(b"=")
        .decode()
    )


def replaced(place: int, value: Any) -> str:
    return spelled([*PLACE[:place], value, *PLACE[place + 1 :]])


def test_a_cursor_is_read_as_it_was_written() -> None:
    position = EVERYTHING.position(spelled(PLACE))
    assert position == ("x", Decimal("1.5"), date(2026, 11, 20), MOMENT, 7, 2**40, UUID(int=1))


WRONG_VALUES: dict[int, list[Any]] = {
    0: ["a\0", None, 5, ["x"], {}],
    1: [
        "1.50",
        "01.5",
        "1e3",
        "1e999999999999",
        "1E-999999999999",
        "NaN",
        "Infinity",
        "-0",
        "sNaN",
        "+1",
        1,
        1.5,
        None,
        "",
    ],
    2: ["20261120", "2026-W47-5", "2026-02-30", "2026-11-20T00:00:00", 5, "", None],
    3: [
        *("2026-11-20T12:00:00Z", "2026-11-20T12:00:00.000000+00:00", "2026-11-20T12:00:00.000000", "2026-11-20"),
        *("0001-01-01T00:00:00.000000+23:59", 5, None),
    ],
    4: [2**31, -(2**31) - 1, 1.0, True, "7", None],
    5: [2**63, -(2**63) - 1, 2**64, 1e300],
    6: ["0" * 31 + "1", "{00000000-0000-0000-0000-000000000001}", "x", 1, None],
}
WRONG: list[str] = [
    *("", "x", "%", "ä", "=", "A" * 5_000, spelled([]), spelled(PLACE[:-1]), spelled([*PLACE, 1])),
    *(spelled(PLACE) + "=", spelled(PLACE) + "A", spelled(PLACE)[:-1], spelled(PLACE, tag="00000000"), "bnVsbA", "MTI"),
    base64.urlsafe_b64encode(json.dumps([EVERYTHING.tag, *PLACE]).encode()).rstrip(b"=").decode(),
    *(replaced(place, value) for place, values in WRONG_VALUES.items() for value in values),
]


@pytest.mark.parametrize("cursor", WRONG)
def test_what_no_cursor_of_this_order_is_leads_nowhere(cursor: str) -> None:
    assert EVERYTHING.position(cursor) is None


def test_a_cursor_of_another_order_or_relation_is_refused() -> None:
    ids = [order_of(relation) for relation in RELATIONS[:2]]
    elsewhere = order_of(Relation(children=select(*COLUMNS), key=Lot.id, order_by=(Lot.id,)))
    tags = {order.tag for order in (*map(order_of, RELATIONS), elsewhere)}
    assert len(tags) == len(RELATIONS) + 1
    cursor = spelled([str(UUID(int=1))], tag=ids[0].tag)
    assert ids[0].position(cursor) == (UUID(int=1),)
    assert ids[1].position(cursor) is None
    # The same declaration has the same cursors in every process and release.
    assert order_of(related(Lot.id)).position(cursor) == (UUID(int=1),)


@given(st.text(max_size=3_000) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_at_all_is_a_place_or_none(cursor: str) -> None:
    position = EVERYTHING.position(cursor)
    assert position is None


CELLS: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
    "name": lambda: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    "amount": lambda: st.decimals(allow_nan=False, allow_infinity=False, places=4),
    "day": st.dates,
    "moment": lambda: st.datetimes(timezones=st.just(UTC)),
    "rank": lambda: st.integers(-(2**31), 2**31 - 1),
    "big": lambda: st.integers(-(2**63), 2**63 - 1),
    "id": st.uuids,
}


@given(st.fixed_dictionaries({name: made() for name, made in CELLS.items()}))
def test_every_place_comes_back_the_same_from_one_spelling(cells: dict[str, Any]) -> None:
    row: Any = type("Row", (), cells)
    cursor = EVERYTHING.cursor(row)
    position = EVERYTHING.position(cursor)
    assert position == tuple(cells[term.name] for term in EVERYTHING.terms)
    again: Any = type("Row", (), dict(zip((term.name for term in EVERYTHING.terms), position or (), strict=True)))
    assert EVERYTHING.cursor(again) == cursor
