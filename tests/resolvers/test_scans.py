"""`scans`, `findings` and `node`: who may read, filters, orders, pages, and what it costs."""

import base64
import itertools
import uuid
from datetime import timedelta
from typing import Any

import orjson
import pytest

import clock
from db.queries.paging import order_of
from db.queries.scans import SCANS_OF_USER
from db.session import Database
from tests.gql import Gql
from tests.people import People, Person
from tests.refusals import LONG_AGO, stored
from tests.resolvers.conftest import COMPILED
from tests.scanning import finding, told

SCANS = """query($filter: ScanFilter, $orderBy: ScanOrder, $first: Int, $after: String, $last: Int, $before: String) {
  scans(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last, before: $before) {
    totalCount pageInfo { hasNextPage endCursor startCursor hasPreviousPage } edges { cursor node { id tool } }
  }
}"""
ORDERS = [{"by": by, "direction": way} for by in ("DATE", "SEVERITY", "DURATION") for way in ("ASC", "DESC")]


@pytest.mark.parametrize(
    ("who", "code"), [("nobody", "UNAUTHENTICATED"), ("disabled", "ACCOUNT_DISABLED"), ("key", "FORBIDDEN")]
)
@pytest.mark.parametrize("document", ["{ scans { totalCount } }", "{ me { scans { totalCount } } }"])
async def test_scans_are_refused(
    who: str, code: str, document: str, gql: Gql, make: People, database: Database
) -> None:
    askers: dict[str, Any] = {"nobody": None}
    if who == "disabled":
        askers[who] = await make.person(disabled_at=LONG_AGO)
    elif who == "key":
        askers[who] = await make.key(await make.person(), "account:read", "scans:write")
    before = await stored(database)
    answer = await gql(askers[who], document)
    assert answer.code == code
    assert not answer.data or answer.data == {"me": None}
    assert await stored(database) == before


async def test_a_key_without_the_scope_finds_no_scan_by_its_id(gql: Gql, make: People) -> None:
    person = await make.person()
    scan = await told(gql, person, findings=[finding()])
    inside = "query($id: ID!) { node(id: $id) { id ... on Scan { findings { edges { node { id } } } } } }"
    found = await gql(await make.key(person, "account:read", "scans:read"), inside, id=scan)
    (edge,) = found.data["node"]["findings"]["edges"]
    for one in (scan, edge["node"]["id"]):
        assert (await gql(person, inside, id=one)).data["node"]["id"] == one
        assert (await gql(await make.key(person, "account:read"), inside, id=one)).code == "NOT_FOUND"


async def names(gql: Gql, person: Person, **asked: Any) -> list[str]:
    answer = await gql(person, SCANS, **asked)
    assert not answer.errors, answer.errors
    page = answer.data["scans"]
    assert page["totalCount"] >= len(page["edges"])
    return [edge["node"]["tool"] for edge in page["edges"]]


async def some(gql: Gql, make: People) -> Person:
    """Four scans, pushed a day after each other."""
    person = await make.person()
    begun = clock.now() - timedelta(hours=1)
    for number, (tool, severity, minutes, target) in enumerate(
        (
            ("alpha", "LOW", 5, "Shop"),
            ("beta", None, None, "shop-api"),
            ("gamma", "CRITICAL", 1, None),
            ("Delta", "HIGH", 9, "web"),
        )
    ):
        clock.reset()
        clock.move(timedelta(days=number))
        asker = {"Authorization": f"Bearer {make.token(person.subject)}"}
        times = {}
        if minutes is not None:
            times = {"startedAt": begun.isoformat(), "finishedAt": (begun + timedelta(minutes=minutes)).isoformat()}
        found = [finding(severity), finding("INFO"), finding("CRITICAL", suppressed=True)] if severity else []
        status = "FAILED" if tool == "beta" else "COMPLETE"
        given = {"tool": tool, "target": target, "status": status, "findings": found, **times}
        answer = await gql(
            asker, "mutation($input: CreateScanInput!) { createScan(input: $input) { created } }", input=given
        )
        assert not answer.errors, answer.errors
    clock.reset()
    return person


async def test_filters(gql: Gql, make: People) -> None:
    person = await some(gql, make)
    today = clock.now()
    for wanted, expected in (
        ({}, ["Delta", "gamma", "beta", "alpha"]),
        ({"tool": "alpha"}, ["alpha"]),
        ({"tool": "Alpha"}, []),
        ({"status": "FAILED"}, ["beta"]),
        ({"severityAtLeast": "HIGH"}, ["Delta", "gamma"]),
        ({"severityAtLeast": "INFO"}, ["Delta", "gamma", "alpha"]),
        ({"target": "web"}, ["Delta"]),
        ({"text": "SHOP"}, ["beta", "alpha"]),
        ({"text": "elt"}, ["Delta"]),
        ({"text": "%"}, []),
        ({"text": "_"}, []),
        ({"since": (today + timedelta(hours=12)).isoformat()}, ["Delta", "gamma", "beta"]),
        ({"until": (today + timedelta(hours=36)).isoformat()}, ["beta", "alpha"]),
        ({"text": "shop", "severityAtLeast": "LOW"}, ["alpha"]),
    ):
        assert await names(gql, person, filter=wanted) == expected, wanted
        counted = await gql(person, SCANS, filter=wanted, first=1)
        assert counted.data["scans"]["totalCount"] == len(expected), wanted


async def test_orders(gql: Gql, make: People) -> None:
    person = await some(gql, make)
    for order, expected in zip(
        ORDERS,
        (
            ["alpha", "beta", "gamma", "Delta"],
            ["Delta", "gamma", "beta", "alpha"],
            ["beta", "alpha", "Delta", "gamma"],
            ["gamma", "Delta", "alpha", "beta"],
            ["beta", "gamma", "alpha", "Delta"],
            ["Delta", "alpha", "gamma", "beta"],
        ),
        strict=True,
    ):
        assert await names(gql, person, orderBy=order) == expected, order


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_there_and_back(order: dict[str, str], gql: Gql, make: People) -> None:
    person = await make.person()
    for severity, _ in itertools.product(("HIGH", "LOW", "HIGH"), range(3)):
        await told(gql, person, findings=[finding(severity)])
    whole = (await gql(person, SCANS, orderBy=order, first=100)).data["scans"]
    ids = [edge["node"]["id"] for edge in whole["edges"]]
    there: list[str] = []
    page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        answer = (await gql(person, SCANS, orderBy=order, first=2, after=page["endCursor"])).data["scans"]
        there += [edge["node"]["id"] for edge in answer["edges"]]
        page = answer["pageInfo"]
    back: list[str] = []
    page = {"hasPreviousPage": True, "startCursor": None}
    while page["hasPreviousPage"]:
        answer = (await gql(person, SCANS, orderBy=order, last=4, before=page["startCursor"])).data["scans"]
        back = [edge["node"]["id"] for edge in answer["edges"]] + back
        page = answer["pageInfo"]
    assert there == back == ids
    assert len(set(ids)) == 9


async def test_a_cursor_of_another_order_is_refused(gql: Gql, make: People) -> None:
    person = await make.person()
    await told(gql, person)
    cursor = (await gql(person, SCANS)).data["scans"]["edges"][0]["cursor"]
    answer = await gql(person, SCANS, orderBy=ORDERS[2], after=cursor)
    assert (answer.code, set(answer.fields)) == ("BAD_USER_INPUT", {"after"})


async def test_a_cursor_beyond_its_column_is_none(gql: Gql, make: People) -> None:
    person = await make.person()
    tag = order_of(SCANS_OF_USER["SEVERITY", True]).tag
    for rank in (40_000, -40_000):
        parts = orjson.dumps([tag, rank, str(uuid.uuid4())])
        cursor = base64.urlsafe_b64encode(parts).rstrip(b"=").decode()
        answer = await gql(person, SCANS, orderBy={"by": "SEVERITY"}, after=cursor)
        assert (answer.code, set(answer.fields)) == ("BAD_USER_INPUT", {"after"})


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"text": ""}, "filter.text"),
        ({"text": "x" * 101}, "filter.text"),
        ({"tool": "x" * 101}, "filter.tool"),
        ({"target": ""}, "filter.target"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, "filter.until"),
    ],
)
async def test_bad_filters(wanted: dict[str, str], path: str, gql: Gql, make: People) -> None:
    answer = await gql(await make.person(), SCANS, filter=wanted)
    assert (answer.code, set(answer.fields)) == ("BAD_USER_INPUT", {path})


FINDINGS = """query($id: ID!, $filter: FindingFilter, $after: String) { node(id: $id) { ... on Scan {
  findings(first: 2, after: $after, filter: $filter) {
    totalCount pageInfo { hasNextPage endCursor } edges { node { message severity suppressed } } } } } }"""


async def test_findings_are_filtered_and_come_worst_first(gql: Gql, make: People) -> None:
    person = await make.person()
    listed = [finding(severity) for severity in ("LOW", "HIGH", "INFO", "CRITICAL", "HIGH", "MEDIUM")]
    listed[1]["message"], listed[4]["message"] = "first", "second"
    scan = await told(gql, person, findings=[*listed, finding("CRITICAL", suppressed=True)])
    for wanted, expected in (
        (None, ["CRITICAL", "CRITICAL", "HIGH", "HIGH", "MEDIUM", "LOW", "INFO"]),
        ({"severityAtLeast": "MEDIUM"}, ["CRITICAL", "CRITICAL", "HIGH", "HIGH", "MEDIUM"]),
        ({"suppressed": True}, ["CRITICAL"]),
        ({"suppressed": False, "severityAtLeast": "HIGH"}, ["CRITICAL", "HIGH", "HIGH"]),
    ):
        seen, after, more = [], None, True
        while more:
            page = (await gql(person, FINDINGS, id=scan, filter=wanted, after=after)).data["node"]["findings"]
            seen += [edge["node"] for edge in page["edges"]]
            after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
            assert page["totalCount"] == len(expected)
        assert [one["severity"] for one in seen] == expected
        high = [one["message"] for one in seen if one["severity"] == "HIGH"]
        assert high in ([], ["first", "second"])


async def test_a_page_costs_the_same_for_one_and_for_fifty(gql: Gql, make: People, statements: list[str]) -> None:
    person = await make.person()
    for _ in range(50):
        await told(gql, person, findings=[finding()])
    document = """query($first: Int) { scans(first: $first) { totalCount edges { node {
      tool findingCounts { high } findings(first: 2) { totalCount edges { node { message } } } } } } }"""
    counted = []
    for first in (1, 50):
        for _ in range(2):  # from the second time on there is a plan
            await gql(person, document, first=first)
        statements.clear()
        answer = await gql(person, document, first=first)
        assert len(answer.data["scans"]["edges"]) == first
        counted.append(len(statements))
    # Who asks, and with it the page with all that is in it; else one for each list and count, however long.
    assert counted == ([1, 1] if COMPILED else [5, 5])
