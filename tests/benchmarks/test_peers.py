"""Contestants of benchmarks.peers that need no installation answer the same; what compares them sees differences."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import asyncpg
import pytest

from benchmarks.peers import client, load, postgraphile
from benchmarks.peers.__main__ import main
from benchmarks.peers.chart import svg
from benchmarks.peers.contestants import CONTESTANTS, GRAPHQL
from benchmarks.peers.dataset import TINY, Scale
from benchmarks.peers.environments import Environments
from benchmarks.peers.ground import Ground, prepared
from benchmarks.peers.load import COUNTER, Figures
from benchmarks.peers.operations import OPERATIONS, Request
from benchmarks.peers.processes import serving
from benchmarks.peers.report import markdown
from benchmarks.peers.results import Results, ratio
from benchmarks.peers.rounds import Plan, Run, Sample
from benchmarks.peers.sameness import DifferenceError, check, differences, key_of, normalised
from schema import ids

OURS = [contestant for contestant in CONTESTANTS.values() if not contestant.needs]
_SPENT = (
    "(select user_id, feature, period, sum(amount) as used, max(balance) as last from ledger group by 1, 2, 3) as l"
)
# Each is 0 in data that fits together.
FAULTS = {
    "portfolios": """select count(*) from portfolios p where (position_count, cost_basis) not in
        (select count(*), sum(quantity * entry_price) from positions where portfolio_id = p.id)""",
    "counters": f"""select count(*) from {_SPENT} full join counters c using (user_id, feature, period)
        where l.used is distinct from c.used or last <> c.used""",
    "days": "select abs((select sum(amount) from ledger) - (select sum(count) from usage_days))",
    "unpaid": "select count(*) from scans where id not in (select paid_for from ledger)",
}


def check_ours(url: str, folder: Path) -> None:
    with prepared(url, folder, TINY) as ground:
        _check(ground)


def _check(ground: Ground) -> None:
    environments, first, token = Environments(ground.folder), OPERATIONS["Q1"], ground.token(0)
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(one, ground, environments, first, token)) for one in OURS]
        check(servers, list(OPERATIONS.values()), ground)


async def test_ours_answer_and_write_the_same(scratch_url: str, tmp_path: Path) -> None:
    assert {"floor", "gatehouse", "naive", "tuned"} <= {one.key for one in OURS}
    await asyncio.to_thread(check_ours, scratch_url, tmp_path)
    connection: Any = await asyncpg.connect(scratch_url)
    try:
        for fault, statement in FAULTS.items():
            assert await connection.fetchval(statement) == 0, fault
        made = len(OURS) * min(5, len(TINY.writers))
        assert await connection.fetchval("select count(*) from scans") == TINY.scans + made
        assert await connection.fetchval("select count(*) from positions") == TINY.positions
    finally:
        await connection.close()


def test_who_reads_has_what_is_read_and_never_writes() -> None:
    scale = Scale()
    assert len(scale.readers) == len(scale.anybody) == len(scale.writers) == 200
    assert max(scale.readers) < scale.busy
    assert set(scale.writers).isdisjoint([*scale.readers, *scale.anybody])
    with pytest.raises(ValueError, match="No such dataset"):
        Scale(scans=10)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"at": "2026-11-20T14:05:06.120000Z"}, {"at": "2026-11-20T15:05:06.12+01:00"}),
        ({"quantity": "12.50"}, {"quantity": "12.5"}),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
    ],
)
def test_spelling_is_no_difference(one: object, other: object) -> None:
    assert list(differences(normalised(one), normalised(other))) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"at": "2026-11-20T14:05:06.120000Z"}, {"at": "2026-11-20T14:05:06.120001Z"}),
        ({"quantity": "12.50"}, {"quantity": "12.51"}),
        ({"name": "12.50"}, {"name": "12.5"}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1]}, {"a": [1, 1]}),
        ({"a": None}, {"a": 0}),
        ({"a": 1}, {}),
        ({"id": "x"}, {"id": "y"}),
    ],
)
def test_differences_are_found(one: object, other: object) -> None:
    assert list(differences(normalised(one), normalised(other)))


def test_ids_and_cursors_are_left_out_only_of_who_has_their_own() -> None:
    answer = {"edges": [{"cursor": "x", "node": {"id": "y", "tool": "bandit"}}], "pageInfo": {"endCursor": "x"}}
    assert normalised(answer, own_ids=True) == {"edges": [{"node": {"tool": "bandit"}}], "pageInfo": {}}
    assert [one.key for one in CONTESTANTS.values() if one.dialect.own_ids] == ["postgraphile"]


def test_values_are_compared_as_what_they_are() -> None:
    found = normalised({"createdAt": "2026-11-20T14:05:06.5Z", "entryPrice": "1.10"})
    assert found == {"createdAt": datetime(2026, 11, 20, 14, 5, 6, 500_000, UTC), "entryPrice": Decimal("1.1")}


def test_the_key_of_an_id() -> None:
    key = UUID("019808c3-e280-73d5-817f-e6ebab7b8cfc")
    assert key_of(ids.encode("Scan", key)) == key_of(str(key)) == key
    with pytest.raises(DifferenceError):
        key_of("nothing")


def test_answers_of_postgraphile_get_our_names() -> None:
    counts = {"critical": 1, "high": 2, "medium": 3, "low": 4, "info": 5}
    me = {"tier": "free", "portfoliosByUserId": {"totalCount": 2}, "trialEndsAt": "soon"}
    assert postgraphile.read("me", {"me": me}) == {
        "me": {"tier": "free", "portfolioCount": 2, "trial": {"endsAt": "soon"}}
    }
    edges = [{"node": {"tool": "bandit", **counts}}]
    read = postgraphile.read("scans", {"me": {"scansByUserId": {"totalCount": 1, "edges": edges}}})
    assert read == {"scans": {"totalCount": 1, "edges": [{"node": {"tool": "bandit", "findingCounts": counts}}]}}


@asynccontextmanager
async def listening(status: str = "200 OK") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers everything alike, and the bodies that it gets."""
    bodies: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            bodies.append(await reader.readexactly(length))
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], bodies


@pytest.mark.parametrize(
    "with_wrk", [False, pytest.param(True, marks=pytest.mark.skipif(not shutil.which("wrk"), reason="wrk"))]
)
async def test_load_rotates_tokens_and_counts_documents_up(tmp_path: Path, with_wrk: bool) -> None:
    path, request = tmp_path / "requests", Request.graphql(f"query Me{COUNTER} {{ me {{ id }} }}")
    async with listening() as (port, bodies):
        load.write(path, request, port, ["one", "two"])
        assert [text.count(b"Bearer one") for text in client.read(path)] == [1, 0]
        if with_wrk:
            figures = await asyncio.to_thread(load.run, path, port, 1, 1_000)
        else:
            line = await client.load(port, 0.3, path, 1_000)
            figures = Figures(int(line.split()[1]), 1, int(line.split()[3]), 0, 0)
    assert figures.failed == 0
    assert 0 < figures.requests <= len(bodies) == len(set(bodies))
    # wrk throws its first one away.
    assert json.loads(min(bodies))["query"] in {f"query Me0000100{number} {{ me {{ id }} }}" for number in (1, 2)}


async def test_failures_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    async with listening("500 Oh") as (port, _):
        load.write(path, Request.graphql("{ me { id } }"), port, ["one"])
        line = await client.load(port, 0.1, path, None)
    _, requests, _, failed, *_ = line.split()
    assert requests == failed != "0"


def sample(server: str, number: int, rate: int, key: str = "Q1") -> Sample:
    return Sample(server, key, number, Run(Figures(rate, 1, 0, 1.5, 9.25), 80, 60, 0.01, 50))


def test_ratios_are_within_a_round_and_everything_is_shown() -> None:
    samples = [sample("floor", 0, 100), sample("gatehouse", 0, 90), sample("gatehouse", 1, 20), sample("floor", 1, 40)]
    found = ratio(samples, "gatehouse", "Q1")
    assert found is not None
    assert (found.middle, found.lowest, found.highest) == (0.7, 0.5, 0.9)
    titles = {"floor": "a <floor>", "gatehouse": "Gatehouse"}
    results = Results(Plan(), titles, ["Machine: 2 cores."], samples=samples)
    assert "| Gatehouse | 0.70 (0.50–0.90) |" in markdown(results)
    bars = ElementTree.fromstring(svg(results)).findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["floor", "product"]


@pytest.mark.parametrize("words", [["--servers", "nobody"], ["--only", "Q9"], ["--loud"]])
def test_what_is_not_known_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)


def test_every_operation_is_asked_of_gatehouse_as_of_others() -> None:
    assert CONTESTANTS["gatehouse"].dialect is CONTESTANTS["tuned"].dialect is GRAPHQL
