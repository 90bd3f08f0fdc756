"""`gatehouse users set-tier`, `users override` and `users show`: what they do, refuse, and leave in the audit."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

import cli
import clock
from db.models import AuditEvent, Override, User
from db.session import Database
from domain import usage
from domain.actor import Actor, Standing
from domain.plans import load
from tests.conftest import Rows
from tests.people import People, Person
from tests.refusals import stored

Gatehouse = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def gatehouse(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Gatehouse:
    """`await gatehouse("users", "show", …)`: exit code and everything that was printed. In this process."""
    here = {"PATH": os.environ["PATH"], "GATEHOUSE_HOME": str(tmp_path), "ENVIRONMENT": "test"}
    monkeypatch.setattr(os, "environ", here | {"DATABASE_URL": database_url})

    def command(arguments: tuple[str, ...]) -> int:
        monkeypatch.setattr(sys, "argv", ["gatehouse", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0)

    async def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        try:
            # In a thread: a command brings a loop of its own.
            code = await asyncio.to_thread(command, tuple(map(str, arguments)))
        finally:
            clock.follow(None)
        told = capsys.readouterr()
        return code, " ".join((told.out + told.err).split())

    return run


async def events(rows: Rows, person: Person) -> list[tuple[str, dict[str, object]]]:
    found = await rows(AuditEvent, AuditEvent.user_id == person.user_id, AuditEvent.action.like("%.%set%"))
    found = [*found, *await rows(AuditEvent, AuditEvent.user_id == person.user_id, AuditEvent.action.like("%removed"))]
    return [(event.action, event.details) for event in sorted(found, key=lambda event: event.id)]


async def test_a_tier_is_set_by_name_or_alias_and_stored_by_name(
    gatehouse: Gatehouse, make: People, rows: Rows
) -> None:
    person = await make.person()
    for written in ("PRO", "paid"):
        code, told = await gatehouse("users", "set-tier", person.user_id, written)
        assert (code, told.endswith("is paid.")) == (0, True), told
        [user] = await rows(User, User.id == person.user_id)
        assert user.tier == "paid"
    # The second time nothing was changed.
    assert await events(rows, person) == [("tier.set", {"before": "free", "after": "paid"})]


async def test_a_grant_is_made_replaced_shown_and_taken_back(
    gatehouse: Gatehouse, make: People, rows: Rows, database: Database
) -> None:
    person = await make.person()
    actor = Actor(person.user_id, Standing("free", None, invited=True), scopes=None)
    async with database.transaction() as session:
        await usage.adjust(session, load(None), actor, "aiMessages", 40, reason="test")
    code, told = await gatehouse("users", "override", person.user_id, "ai-messages", "--extra", 50, "--for", "30d")
    assert (code, "has 50 aiMessages above the limit, until " in told) == (0, True), told
    [override] = await rows(Override, Override.user_id == person.user_id)
    assert (override.feature, override.extra, override.note) == ("aiMessages", 50, None)
    assert abs(override.until - clock.now() - timedelta(days=30)) < timedelta(minutes=1)
    _, shown = await gatehouse("users", "show", person.user_id)
    assert "override aiMessages: 50 more, until " in shown
    assert "usage aiMessages: 40 of 150, resets " in shown
    assert "usage portfolios: 0 of 2 " in shown
    assert "usage scans: 0, without limit, resets " in shown

    arguments = ("--unlimited", "--until", "2099-12-31T02:00:00+02:00", "--note", "a [friend]")
    code, told = await gatehouse("users", "override", person.user_id, "aiMessages", *arguments)
    assert (code, told.endswith("has aiMessages without limit, until 2099-12-31 00:00 UTC.")) == (0, True), told
    _, shown = await gatehouse("users", "show", person.user_id)
    assert "override aiMessages: without limit, until 2099-12-31 00:00 UTC, a [friend]" in shown
    assert "usage aiMessages: 40, without limit" in shown

    code, told = await gatehouse("users", "override", person.user_id, "AI_MESSAGES", "--remove")
    assert (code, told.endswith("has no more of aiMessages than the plan says.")) == (0, True), told
    assert await rows(Override, Override.user_id == person.user_id) == []
    assert [action for action, _ in await events(rows, person)] == ["override.set", "override.set", "override.removed"]


async def test_a_grant_is_for_good_unless_it_is_said_how_long(gatehouse: Gatehouse, make: People, rows: Rows) -> None:
    person = await make.person()
    arguments = (person.user_id, "positionImport", "--unlimited")
    code, told = await gatehouse("users", "override", *arguments, "--until", "2099-12-31")
    assert (code, told.endswith("has positionImport without limit, until 2099-12-31 00:00 UTC.")) == (0, True), told
    code, told = await gatehouse("users", "override", *arguments)
    assert (code, told.endswith("has positionImport without limit, for good.")) == (0, True), told
    [override] = await rows(Override, Override.user_id == person.user_id)
    assert (override.extra, override.until) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["set-tier", "WHO", "gold"], 1, "There is no tier gold: one of free, paid, enterprise."),
        (["set-tier", "WHO", ""], 1, "There is no tier"),
        (["set-tier", "nobody-at-all", "paid"], 1, "Nobody with"),
        (["set-tier", "WHO"], 2, "Missing argument"),
        (["override", "WHO", "gold", "--extra", "1"], 1, "There is no feature gold: one of portfolios, aiMessages"),
        (["override", "nobody-at-all", "scans", "--unlimited"], 1, "Nobody with"),
        (["override", "WHO", "positionImport", "--extra", "1"], 1, "positionImport is a switch"),
        (["override", "WHO", "scans", "--remove"], 1, "Nothing was granted of scans."),
        (["override", "WHO", "scans", "--unlimited", "--until", "2020-01-01"], 1, "a moment in the future"),
        (["override", "WHO", "scans", "--unlimited", "--for", "0d"], 1, "a moment in the future"),
        (["override", "WHO", "scans", "--unlimited", "--note", "x" * 501], 1, "at most 500 characters"),
        (["override", "WHO", "scans"], 2, "one of --extra, --unlimited and --remove"),
        (["override", "WHO", "scans", "--extra", "1", "--unlimited"], 2, "one of --extra, --unlimited and"),
        (["override", "WHO", "scans", "--remove", "--for", "1d"], 2, "with --remove"),
        (["override", "WHO", "scans", "--extra", "1", "--for", "1d", "--until", "2099-01-01"], 2, "--for or --until"),
        (["override", "WHO", "scans", "--extra", "1", "--for", "soon"], 2, "such as 8h"),
        (["override", "WHO", "scans", "--extra", "1", "--until", "soon"], 2, "'--until'"),
        (["override", "WHO", "scans", "--extra", "0"], 2, "or equal to"),
        (["override", "WHO", "scans", "--extra", "2147483648"], 2, "or equal to"),
        (["override", "WHO", "scans", "--extra", "-1"], 2, "or equal to"),
    ],
)
async def test_a_fault_is_told_and_nothing_happens(
    arguments: list[str], code: int, words: str, gatehouse: Gatehouse, make: People, database: Database
) -> None:
    person = await make.person()
    before = await stored(database)
    written = [str(person.user_id) if argument == "WHO" else argument for argument in arguments]
    left, told = await gatehouse("users", *written)
    assert left == code, told
    # Wrong usage is told in a frame.
    assert words in " ".join(told.replace("│", " ").split())
    assert "Traceback" not in told
    assert await stored(database) == before
