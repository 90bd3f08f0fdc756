"""`createScan` and `deleteScan`: who may, what is stored, the same report again, and what it counts as."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import clock
from db.models import Finding, Scan
from db.session import Database
from tests.conftest import Rows
from tests.gql import Gql
from tests.people import People
from tests.refusals import LONG_AGO, NOT_A_SESSION, refused, stored
from tests.scanning import CREATE, finding, push, report, told

DELETE = "mutation($input: DeleteScanInput!) { deleteScan(input: $input) { deletedId } }"
NUMBERS = "{ usage { scansToday scansThisMonth scansTotal } scans { totalCount } }"


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("nobody", "UNAUTHENTICATED"),
        ("disabled", "ACCOUNT_DISABLED"),
        ("uninvited", "INVITE_REQUIRED"),
        ("reading key", "FORBIDDEN"),
        ("key of somebody uninvited", "INVITE_REQUIRED"),
    ],
)
async def test_create_is_refused(who: str, code: str, gql: Gql, make: People, database: Database) -> None:
    askers: dict[str, Any] = {"nobody": None}
    if who == "disabled":
        askers[who] = await make.person(disabled_at=LONG_AGO)
    elif who == "reading key":
        askers[who] = await make.key(await make.person(), "account:read", "scans:read")
    elif who != "nobody":
        newcomer = await make.person(invited=False)
        askers[who] = newcomer if who == "uninvited" else await make.key(newcomer, "scans:write")
    before = await stored(database)
    answer = await push(gql, askers[who], report("bandit"))
    assert (answer.code, answer.data) == (code, None)
    assert await stored(database) == before


@pytest.mark.parametrize("who", NOT_A_SESSION)
async def test_delete_is_refused(who: str, gql: Gql, make: People, database: Database) -> None:
    asker = await refused(make, who)
    scan = await told(gql, await make.person())
    before = await stored(database)
    answer = await gql(asker, DELETE, input={"id": scan})
    assert (answer.code, answer.data) == (NOT_A_SESSION[who], None)
    assert await stored(database) == before


async def test_another_persons_scan_is_not_found(gql: Gql, make: People, database: Database) -> None:
    scan, stranger = await told(gql, await make.person(), findings=[finding()]), await make.person()
    before = await stored(database)
    assert (await gql(stranger, DELETE, input={"id": scan})).code == "NOT_FOUND"
    assert (await gql(stranger, "query($id: ID!) { node(id: $id) { id } }", id=scan)).code == "NOT_FOUND"
    assert (await gql(stranger, "{ scans { totalCount } }")).data == {"scans": {"totalCount": 0}}
    assert await stored(database) == before


async def test_told_field_by_field(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    key = await make.key(person, "scans:write")
    findings = [
        finding("MEDIUM", ruleId="B602", path="app.py", startLine=3, endLine=4, startColumn=1, endColumn=9),
        finding("CRITICAL", score="9.8", fingerprint="f", helpUrl="https://example.test/b602", ruleName="Shell"),
        finding("CRITICAL", suppressed=True),
    ]
    times = {"startedAt": "2026-11-20T14:05:06.5+01:00", "finishedAt": "2026-11-20T13:05:08Z"}
    given = {"tool": " bandit ", "toolVersion": "1.9", "target": "shop", "status": "FAILED", "findings": findings}
    answer = await gql(key, CREATE, input={**given, **times, "metadata": {"commit": "abc", "tags": [1, None]}})
    assert not answer.errors
    counts = {"critical": 1, "high": 0, "medium": 1, "low": 0, "info": 0, "suppressed": 1, "total": 2}
    made = answer.data["createScan"]
    assert (made["created"], made["quota"]) == (1, {"used": 1})
    assert {**made["scans"][0], "id": None} == {
        "id": None,
        "tool": "bandit",
        "target": "shop",
        "severity": "CRITICAL",
        "findingCounts": counts,
    }
    (scan,) = await rows(Scan, Scan.user_id == person.user_id)
    assert (scan.tool_version, scan.status, scan.duration_ms, scan.duration_rank) == ("1.9", "FAILED", 1500, 1500)
    assert (scan.severity_rank, scan.details, scan.digest) == (5, {"commit": "abc", "tags": [1, None]}, None)
    stored_findings = await rows(Finding, Finding.scan_id == scan.id)
    assert [found.severity for found in stored_findings] == ["MEDIUM", "CRITICAL", "CRITICAL"]
    assert (stored_findings[0].start_line, stored_findings[0].end_column) == (3, 9)
    assert str(stored_findings[1].score) == "9.8"


async def test_the_same_told_twice_is_two_scans(gql: Gql, make: People) -> None:
    person = await make.person()
    assert await told(gql, person) != await told(gql, person)


BAD: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"input.report"}),
    ({"tool": ""}, {"input.tool"}),
    ({"tool": "x" * 101, "toolVersion": "y" * 101}, {"input.tool", "input.toolVersion"}),
    ({"report": "  "}, {"input.report"}),
    ({"report": "{}", "tool": "x", "findings": []}, {"input.tool", "input.findings"}),
    ({"tool": "x", "target": "t" * 501}, {"input.target"}),
    ({"tool": "x", "metadata": [1]}, {"input.metadata"}),
    ({"tool": "x", "metadata": {"a": "x" * 20_000}}, {"input.metadata"}),
    ({"tool": "x", "metadata": {"a": [1, {"b": 2**53 + 1}]}}, {"input.metadata"}),
    ({"tool": "x", "metadata": {"a": -1e300}}, {"input.metadata"}),
    ({"tool": "x", "metadata": {"a": 1e-300}}, {"input.metadata"}),
    ({"tool": "x", "startedAt": "2999-01-01T00:00:00Z"}, {"input.startedAt"}),
    ({"tool": "x", "startedAt": "2026-01-02T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"}, {"input.finishedAt"}),
    ({"tool": "x", "findings": [finding(), finding(startLine=0, score="10.5")]},
     {"input.findings[1].startLine", "input.findings[1].score"}),
    ({"tool": "x", "findings": [{"severity": "LOW", "message": " "}]}, {"input.findings[0].message"}),
    ({"tool": "x", "findings": [finding(helpUrl="javascript:alert(1)")]}, {"input.findings[0].helpUrl"}),
    ({"tool": "x", "findings": [finding()] * 1001}, {"input.findings"}),
    ({"report": "not json"}, {"input.report"}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "paths"), BAD)
async def test_bad_input(given: dict[str, Any], paths: set[str], gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, CREATE, input=given)
    assert answer.code == "BAD_USER_INPUT"
    assert set(answer.fields) == paths
    assert await stored(database) == before


async def test_metadata_ten_levels_deep_and_no_deeper(gql: Gql, make: People) -> None:
    person = await make.person()
    deep: Any = 1
    for _ in range(10):
        deep = {"a": deep}
    assert await told(gql, person, metadata=deep)
    answer = await gql(person, CREATE, input={"tool": "x", "metadata": {"a": deep}})
    assert set(answer.fields) == {"input.metadata"}


async def test_the_same_report_leads_to_the_same_scans(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    text = report("bandit", "ruff", findings=3)
    first = (await push(gql, person, text)).data["createScan"]
    again = (await push(gql, person, text, idempotencyKey="another")).data["createScan"]
    assert (first["created"], again["created"], first["quota"], again["quota"]) == (2, 0, {"used": 2}, {"used": 2})
    assert first["scans"] == again["scans"]
    assert len(await rows(Scan, Scan.user_id == person.user_id)) == 2


@pytest.mark.parametrize("said", [{"again": True}, {"target": "elsewhere"}, {"metadata": {"commit": "b"}}])
async def test_what_makes_another_scan_of_a_report(said: dict[str, Any], gql: Gql, make: People) -> None:
    person = await make.person()
    first = await push(gql, person, report("bandit"))
    other = await push(gql, person, report("bandit"), **said)
    assert other.data["createScan"]["created"] == 1
    assert other.data["createScan"]["scan"] != first.data["createScan"]["scan"]


async def test_a_report_is_anothers_own(gql: Gql, make: People) -> None:
    one, other = await make.person(), await make.person()
    first, second = await push(gql, one, report("bandit")), await push(gql, other, report("bandit"))
    assert second.data["createScan"]["created"] == 1
    assert first.data["createScan"]["scan"] != second.data["createScan"]["scan"]


async def test_a_deleted_scan_can_be_pushed_again(gql: Gql, make: People) -> None:
    person = await make.person()
    first = (await push(gql, person, report("bandit"))).data["createScan"]["scan"]
    assert (await gql(person, DELETE, input=first)).data == {"deleteScan": {"deletedId": first["id"]}}
    again = (await push(gql, person, report("bandit"))).data["createScan"]
    assert (again["created"], again["quota"]) == (1, {"used": 2})


async def test_pushed_at_the_same_time_it_is_one_scan(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    text = report("bandit", "ruff", "semgrep", findings=5)
    answers = await asyncio.gather(*(push(gql, person, text) for _ in range(12)))
    assert not any(answer.errors for answer in answers)
    made = [answer.data["createScan"] for answer in answers]
    assert sum(one["created"] for one in made) == 3
    assert all(one["scans"] == made[0]["scans"] for one in made)
    assert len(await rows(Scan, Scan.user_id == person.user_id)) == 3
    assert (await gql(person, "{ usage { scansTotal } }")).data == {"usage": {"scansTotal": 3}}


async def test_the_limit_holds_for_all_runs_of_a_report(
    gql: Gql, make: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report with one run too many stores nothing; one that is there already is still found at the limit."""
    person = await make.person()
    monkeypatch.setattr("domain.usage.limit_of", lambda *_: 2)
    first = await push(gql, person, report("a", "b"))
    before = await stored(database)
    refused_one = await push(gql, person, report("c"))
    assert refused_one.code != "BAD_USER_INPUT"
    assert refused_one.data is None
    assert await stored(database) == before
    again = await push(gql, person, report("a", "b"))
    assert again.data["createScan"]["scans"] == first.data["createScan"]["scans"]


async def test_numbers_count_what_was_done(gql: Gql, make: People) -> None:
    person = await make.person()
    await told(gql, person)
    gone = await told(gql, person)
    await gql(person, DELETE, input={"id": gone})
    assert (await gql(person, NUMBERS)).data == {
        "usage": {"scansToday": 2, "scansThisMonth": 2, "scansTotal": 2},
        "scans": {"totalCount": 1},
    }


async def test_five_thousand_findings_take_few_statements(
    gql: Gql, make: People, statements: list[str], rows: Rows
) -> None:
    person = await make.person()
    await told(gql, person)  # what a first request sets up is not counted
    counted = []
    for findings in (2, 5_000):
        statements.clear()
        answer = await push(gql, person, report("bandit", findings=findings))
        assert answer.data["createScan"]["scans"][0]["findingCounts"]["high"] == findings
        counted.append(len(statements))
    assert counted[0] == counted[1]
    scans = await rows(Scan, Scan.user_id == person.user_id)
    assert [one.high for one in scans] == [0, 2, 5_000]
    assert len(await rows(Finding, Finding.scan_id == scans[-1].id)) == 5_000


async def test_days_and_months_are_those_of_utc(gql: Gql, make: People) -> None:
    person = await make.person()
    key = await make.key(person, "account:read", "scans:write")
    midnight = (clock.now() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    clock.move(midnight - timedelta(seconds=30) - clock.now())
    await told(gql, key)
    clock.move(timedelta(minutes=1))
    await told(gql, key)
    assert (await gql(key, "{ usage { scansToday scansTotal } }")).data["usage"] == {"scansToday": 1, "scansTotal": 2}
    next_month = (clock.now().replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=5)
    clock.move(next_month - timedelta(seconds=10) - clock.now())
    await told(gql, key)
    clock.move(timedelta(seconds=20))
    await told(gql, key)
    history = '{ usage { scansToday scansThisMonth scansTotal history(feature: "scans", days: 2) { date count } } }'
    usage = (await gql(key, history)).data["usage"]
    assert (usage["scansToday"], usage["scansThisMonth"], usage["scansTotal"]) == (1, 1, 4)
    days = [(next_month - timedelta(days=1)).date().isoformat(), next_month.date().isoformat()]
    assert usage["history"] == [{"date": day, "count": 1} for day in days]
