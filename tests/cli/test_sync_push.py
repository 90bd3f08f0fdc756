"""`gatehouse sync push` against the real server: what is refused, stored once, counted, and told to a pipeline."""

import asyncio
import os
import sys
from pathlib import Path

import orjson
import pytest

import clock
from cli.sync import reports
from db.models import Scan, User
from tests.cli.conftest import Change, Gatehouse, Write
from tests.conftest import Rows
from tests.gql import Gql
from tests.people import KeyBearer, People
from tests.scanning import report


def env(url: str, key: KeyBearer) -> dict[str, str]:
    return {"GATEHOUSE_URL": url, "GATEHOUSE_API_KEY": key.secret}


async def test_who_may_not_push_is_told_why_and_nothing_is_stored(
    gatehouse: Gatehouse, served_url: str, make: People, rows: Rows, write: Write, change: Change
) -> None:
    file = write("bandit.json", report("bandit"))
    person, uninvited, disabled = await make.person(), await make.person(invited=False), await make.person()
    keys = [await make.key(one, "scans:write") for one in (person, uninvited, disabled)]
    reader = await make.key(person, "account:read", "scans:read")
    await change(User, User.id == disabled.user_id, disabled_at=clock.now())
    told = {
        KeyBearer("iq_" + "x" * 43): ("UNAUTHENTICATED", "Is it a key of this server?"),
        reader: ("FORBIDDEN", "scans:write among them: gatehouse keys create NAME"),
        keys[1]: ("INVITE_REQUIRED", "invite code"),
        keys[2]: ("ACCOUNT_DISABLED", "Ask whoever runs this server."),
    }
    for key, (code, words) in told.items():
        done = await gatehouse("sync", "push", file, "--json", env=env(served_url, key))
        assert (done.code, [error["code"] for error in done.errors]) == (1, [code]), done
        assert done.json["failed"] == 1
        shown = await gatehouse("sync", "push", file, env=env(served_url, key))
        assert (shown.code, shown.out, words in shown.said) == (1, "", True), shown
        assert key.secret not in done.out + done.err + shown.err
    assert await rows(Scan, Scan.user_id.in_([person.user_id, uninvited.user_id, disabled.user_id])) == []


async def test_a_report_is_stored_once_and_again_on_demand(
    gatehouse: Gatehouse, served_url: str, make: People, rows: Rows, write: Write
) -> None:
    person = await make.person()
    here = env(served_url, await make.key(person, "scans:write"))
    file = write("all.json", report("bandit", "semgrep", findings=2))
    pushing = ("sync", "push", file, "--target", "shop", "--metadata", "commit=1f2e", "--metadata", "by=a=b")
    done = await gatehouse(*pushing, env=here)
    lines = [f"{file}: {tool} on shop: 2 high; new" for tool in ("bandit", "semgrep")]
    assert (done.code, done.out.splitlines(), done.err) == (0, lines, "")
    once = await rows(Scan, Scan.user_id == person.user_id)
    said = {"commit": "1f2e", "by": "a=b"}
    assert {scan.tool: (scan.target, scan.details) for scan in once} == dict.fromkeys(
        ("bandit", "semgrep"), ("shop", said)
    )
    repeated = await gatehouse(*pushing, env=here)
    assert (repeated.code, repeated.out.count("; already there")) == (0, 2)
    assert len(await rows(Scan, Scan.user_id == person.user_id)) == 2
    again = await gatehouse(*pushing, "--again", "--json", env=here)
    assert (again.code, again.err) == (0, "")
    [file_told] = again.json["files"]
    assert (file_told["file"], file_told["created"], file_told["quota"]["used"]) == (file, 2, 4)
    assert [scan["new"] for scan in file_told["scans"]] == [True, True]
    assert file_told["scans"][0]["findingCounts"]["high"] == 2
    assert len(await rows(Scan, Scan.user_id == person.user_id)) == 4


async def test_of_a_report_that_is_there_in_part_the_new_scan_is_told(
    gatehouse: Gatehouse, served_url: str, make: People, gql: Gql, write: Write
) -> None:
    person = await make.person()
    here = env(served_url, await make.key(person, "scans:write"))
    file = write("all.json", report("bandit", "semgrep", "trivy"))
    first = await gatehouse("sync", "push", file, "--json", env=here)
    gone = first.json["files"][0]["scans"][1]["id"]
    deleted = await gql(
        person, "mutation($i: DeleteScanInput!) { deleteScan(input: $i) { deletedId } }", i={"id": gone}
    )
    assert not deleted.errors
    done = await gatehouse("sync", "push", file, env=here)
    assert [line.rpartition("; ")[2] for line in done.out.splitlines()] == ["already there", "new", "already there"]


async def test_all_files_are_tried_and_failures_summed_up(
    gatehouse: Gatehouse, served_url: str, make: People, rows: Rows, write: Write, tmp_path: Path
) -> None:
    person = await make.person()
    here = env(served_url, await make.key(person, "scans:write"))
    bad = orjson.dumps({"format": "gatehouse-scan", "version": 1, "tool": "x", "findings": [{"severity": "BAD"}] * 8})
    files = {
        "good.json": (report("bandit"), "; new"),
        "empty.json": (" \n", "It is empty."),
        "zip.json": (b"PK\xff\xff", "It is not text in UTF-8 (byte 3)."),
        "text.json": ("hello", ""),
        "bad.json": (bad, "… and "),
        "windows.json": (report("semgrep").encode("utf-16"), "; new"),
        "marked.json": (b"\xef\xbb\xbf" + report("trivy").encode(), "; new"),
    }
    paths = [write(name, content) for name, (content, _) in files.items()] + [str(tmp_path / "none"), str(tmp_path)]
    done = await gatehouse("sync", "push", *paths, "-", stdin=report("gosec"), env=here)
    assert done.code == 1
    for path, (_, words) in zip(paths, files.values(), strict=False):
        assert f"{path}: " in done.out + done.err
        assert words in done.out + done.err
    assert "No such file" in done.err
    assert "Is a directory" in done.err
    assert done.err.splitlines()[-1] == "gatehouse: 6 of 10 reports were not pushed."
    faults = [line for line in done.err.splitlines() if line.startswith("  ")]
    assert len([line for line in faults if "input.report" in line]) <= 11 + 1
    stored = await rows(Scan, Scan.user_id == person.user_id)
    assert {scan.tool for scan in stored} == {"bandit", "semgrep", "trivy", "gosec"}

    told = await gatehouse("sync", "push", *paths[:2], "--json", env=here)
    assert (told.code, told.json["failed"], [error["about"] for error in told.errors]) == (1, 1, [paths[1]])
    assert [("error" in one) for one in told.json["files"]] == [False, True]


@pytest.mark.parametrize(
    ("worst", "fail_on", "code"),
    [("HIGH", "critical", 0), ("HIGH", "high", 1), ("HIGH", "LOW", 1), ("INFO", "low", 0), ("INFO", "info", 1)],
)
async def test_findings_that_count_fail_a_pipeline(
    gatehouse: Gatehouse, served_url: str, make: People, write: Write, worst: str, fail_on: str, code: int
) -> None:
    here = env(served_url, await make.key(await make.person(), "scans:write"))
    finding = {"severity": worst, "message": "found"}
    findings = [finding, {"severity": "CRITICAL", "message": "lived with", "suppressed": True}]
    scan = {"format": "gatehouse-scan", "version": 1, "tool": "bandit", "findings": findings}
    file = write("report.json", orjson.dumps(scan))
    # The second time the scan is there already, and counts as well.
    for word in ("new", "already there"):
        done = await gatehouse("sync", "push", file, "--fail-on", fail_on, env=here)
        assert (done.code, word in done.out) == (code, True), done
        assert ("--fail-on" in done.err) == bool(code)
    told = await gatehouse("sync", "push", file, "--fail-on", fail_on, "--json", env=here)
    assert (told.code, told.json["gate"]) == (code, {"failOn": fail_on.upper(), "findings": code})


async def test_too_large_a_report_is_not_sent(
    gatehouse: Gatehouse, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    monkeypatch.setattr(reports, "MAX_BYTES", 1000)
    here = env("http://127.0.0.1:9", KeyBearer("iq_" + "x" * 43))
    for arguments, stdin in ((write("large.json", b" " * 1001), b""), ("-", b"x" * 1001)):
        done = await gatehouse("sync", "push", arguments, "--json", stdin=stdin, env=here)
        assert (done.code, [error["code"] for error in done.errors]) == (1, ["TOO_LARGE"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument"),
        (["-", "-"], "only once"),
        (["x", "--metadata", "commit"], "KEY=VALUE"),
        (["x", "--metadata", "=1"], "KEY=VALUE"),
        (["x", "--metadata", "a=1", "--metadata", "a=2"], "each key once"),
        (["x", "--fail-on", "bad"], "'bad' is not one of"),
        (["x", "--profile", "../x"], "profile"),
    ],
)
async def test_wrong_usage_is_2(gatehouse: Gatehouse, arguments: list[str], words: str) -> None:
    done = await gatehouse("sync", "push", *arguments)
    assert (done.code, done.out, words in done.said) == (2, "", True), done


async def test_the_installed_command_needs_no_settings_and_is_quiet_in_a_pipe(
    served_url: str, make: People, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=not a port\nDATABASE_URL=nonsense\n")
    person = await make.person()
    here = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **env(served_url, await make.key(person, "scans:write"))}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("gatehouse")),
        *("sync", "push", "-"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        env=here,
    )
    out, err = await process.communicate(report("bandit").encode())
    assert (process.returncode, out, err) == (0, b"stdin: bandit: 1 high; new\n", b"")
