"""`gatehouse sync list`, `status` and `schema`: what is found, in which order, and what programs get."""

import asyncio
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

import clock
from db.models import Scan
from tests.cli.conftest import Change, Done, Gatehouse, Write
from tests.cli.terminal import on_terminal
from tests.fakes.clerk_api import answer
from tests.fakes.gatehouse_api import SCAN, fake_gatehouse
from tests.gql import Gql
from tests.people import KeyBearer, People, Person
from tests.scanning import finding, told

LIST = ("sync", "list")


def env(url: str, key: KeyBearer) -> dict[str, str]:
    return {"GATEHOUSE_URL": url, "GATEHOUSE_API_KEY": key.secret}


def tools(done: Done) -> list[str]:
    assert (done.code, done.err) == (0, ""), done
    return [scan["tool"] for scan in done.json["scans"]]


async def three(gql: Gql, who: Person) -> None:
    """The oldest is the worst, the next one the longest."""
    now = clock.now()
    times = {"startedAt": (now - timedelta(minutes=9)).isoformat(), "finishedAt": now.isoformat()}
    await told(gql, who, "worst", target="shop", findings=[finding("CRITICAL"), finding("LOW")])
    await told(gql, who, "longest", target="shop-api", status="FAILED", findings=[finding("MEDIUM")], **times)
    await told(gql, who, "newest", target="till", metadata={"commit": "1f2e"})


async def test_a_key_without_the_scope_sees_nothing(gatehouse: Gatehouse, served_url: str, make: People) -> None:
    here = env(served_url, await make.key(await make.person(), "scans:write"))
    for command, scope in ((LIST, "scans:read"), (("sync", "status"), "account:read")):
        done = await gatehouse(*command, env=here)
        assert (done.code, done.out, f"with all scopes, {scope} among them" in done.said) == (1, "", True), done


async def test_scans_are_filtered_and_ordered(
    gatehouse: Gatehouse, served_url: str, make: People, gql: Gql, change: Change
) -> None:
    person, other = await make.person(), await make.person()
    await three(gql, person)
    await told(gql, other, "another")
    here = env(served_url, await make.key(person, "scans:read"))
    worst = (Scan.user_id == person.user_id) & (Scan.tool == "worst")
    await change(Scan, worst, created_at=clock.now() - timedelta(days=9))

    async def listed(*options: str) -> list[str]:
        return tools(await gatehouse(*LIST, "--json", *options, env=here))

    assert await listed() == ["newest", "longest", "worst"]
    assert await listed("--order", "severity") == ["worst", "longest", "newest"]
    assert (await listed("--order", "DURATION"))[0] == "longest"
    assert await listed("--tool", "worst") == ["worst"]
    assert await listed("--status", "failed") == ["longest"]
    assert await listed("--severity", "medium") == ["longest", "worst"]
    assert await listed("--target", "shop") == ["worst"]
    assert await listed("--text", "SHOP") == ["longest", "worst"]
    assert await listed("--since", "2d") == ["newest", "longest"]
    assert await listed("--since", (clock.now() - timedelta(days=20)).date().isoformat()) == await listed()
    assert await listed("--limit", "1") == ["newest"]

    shown = await gatehouse(*LIST, env=here)
    heading, *lines = shown.out.splitlines()
    assert heading.split() == ["pushed", "tool", "target", "status", "findings", "took"]
    assert re.search(r"longest +shop-api +failed +1 medium +540\.0 s$", lines[1].rstrip())
    assert "1 critical, 1 low" in lines[2]
    short = await gatehouse(*LIST, "--limit", "2", env=here)
    assert "2 of 3; more with --limit." in short.err


async def test_what_programs_get_is_spelled_as_by_the_api(
    gatehouse: Gatehouse, served_url: str, make: People, gql: Gql
) -> None:
    person = await make.person()
    await three(gql, person)
    done = await gatehouse(*LIST, "--json", env=env(served_url, await make.key(person, "scans:read")))
    newest, longest, _ = done.json["scans"]
    assert done.json["totalCount"] == 3
    assert set(newest) == set(SCAN)
    assert newest["metadata"] == {"commit": "1f2e"}
    assert longest["durationMs"] == 540_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", longest["startedAt"])


async def test_pages_are_asked_for_until_there_are_enough(gatehouse: Gatehouse, waits: list[float]) -> None:
    def page(number: int, *, more: bool) -> bytes:
        info = {"hasNextPage": more, "endCursor": f"c{number}"}
        scans: dict[str, Any] = {"totalCount": 1000, "pageInfo": info, "edges": [{"node": SCAN}] * number}
        return answer(200, {"data": {"scans": scans}})

    key = KeyBearer("iq_" + "x" * 43)
    for limit, pages, asked in (
        (250, [page(100, more=True), answer(503, b""), page(100, more=True), page(50, more=True)], [100, 100, 100, 50]),
        (250, [page(100, more=True), page(3, more=False)], [100, 100]),
        # One that promises more for ever is not believed for ever.
        (250, [page(0, more=True)], [100]),
    ):
        async with fake_gatehouse(*pages) as fake:
            done = await gatehouse(*LIST, "--json", "--limit", limit, env=env(fake.url, key))
        assert done.code == 0, done
        assert [body["variables"]["first"] for body in fake.bodies] == asked
        assert fake.bodies[-1]["variables"]["after"] == (f"c{100}" if len(asked) > 1 else None)


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "7", "7y"])
async def test_a_time_that_is_none_is_wrong_usage(gatehouse: Gatehouse, since: str) -> None:
    done = await gatehouse(*LIST, "--since", since)
    assert (done.code, "2026-11-20T14:05Z" in done.said) == (2, True), done
    told_so = await gatehouse(*LIST, "--since", since, "--json")
    assert (told_so.code, told_so.errors[0]["code"]) == (2, "USAGE")


async def test_status_says_who_and_how_much(gatehouse: Gatehouse, served_url: str, make: People, gql: Gql) -> None:
    person, uninvited = await make.person(tier="paid", email="paid@example.test"), await make.person(invited=False)
    await three(gql, person)
    here = env(served_url, await make.key(person, "account:read"))
    done = await gatehouse("sync", "status", "--json", env=here)
    assert (done.code, done.json["server"], done.json["me"]["plan"]) == (0, served_url, {"title": "Paid"})
    assert done.json["usage"] == {"scansToday": 3, "scansThisMonth": 3, "scansTotal": 3}
    assert done.json["aiMessages"]["quota"]["limit"] == 1000
    assert (done.json["scans"]["quota"]["used"], done.json["scans"]["quota"]["limit"]) == (3, None)
    shown = dict(
        re.split(r"  +", line.rstrip(), maxsplit=1)
        for line in (await gatehouse("sync", "status", env=here)).out.splitlines()
    )
    assert (shown["plan"], shown["invite"], shown["scans today"]) == ("Paid", "validated", "3")
    assert shown["quota of scans"].startswith("3 without limit")
    assert shown["AI messages"].startswith("0 of 1000, 1000 left, anew 20")
    outside = env(served_url, await make.key(uninvited, "account:read"))
    waiting = await gatehouse("sync", "status", env=outside)
    assert (waiting.code, "nothing can be pushed yet" in waiting.out) == (0, True)


async def test_the_schema_of_the_own_format_needs_no_server(gatehouse: Gatehouse) -> None:
    for arguments in ((), ("--json",)):
        done = await gatehouse("sync", "schema", *arguments)
        assert (done.code, orjson.loads(done.out)["$schema"].startswith("https://json-schema.org/")) == (0, True)


async def test_on_a_terminal_a_push_shows_its_bar_and_leaves_its_lines(write: Write) -> None:
    file = write("report.json", "{}")
    payload = {"created": 1, "scans": [SCAN], "quota": {}}
    async with fake_gatehouse(answer(503, b""), answer(200, {"data": {"createScan": payload}})) as fake:
        here = {"PATH": os.environ["PATH"], "HOME": str(Path(file).parent), "TERM": "xterm", "COLUMNS": "200"}
        here |= env(fake.url, KeyBearer("iq_" + "x" * 43))
        code, shown = await asyncio.to_thread(on_terminal, ["sync", "push", file], here)
    assert code == 0, shown
    assert b"(1 of 1)" in shown
    assert b"Again in" in shown
    assert shown.rstrip().endswith(b"report.json: bandit on shop: 1 high, 2 low, 1 suppressed; new")
