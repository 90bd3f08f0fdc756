"""The `gatehouse` command as people use it: real processes, real signals, what is printed, pasted."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

import cli

ROOT = Path(__file__).resolve().parents[1]
# One worker runs these one after the other, on one data folder; the others go on meanwhile.
pytestmark = pytest.mark.xdist_group("commands")

ME = {"query": "{ me { username inviteValidated fullName } }"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path, **more: str) -> dict[str, str]:
    ours = {"PATH": os.environ["PATH"], "HOME": str(home), "GATEHOUSE_HOME": str(home / "gatehouse")}
    return ours | {"BETA_INVITE_CODE": "2026-FOUNDERS-BETA", "PYTHONWARNINGS": "error"} | more


def gatehouse(home: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(home, **more), capture_output=True, text=True, timeout=60, check=False
    )


class Running:
    """A server that was started, and what it printed until it was ready."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, printed: str) -> None:
        self.process, self.port, self.printed = process, port, printed

    def ask(self, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"http://127.0.0.1:{self.port}/graphql", json=body or ME, headers=headers, trust_env=False)
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def dev(home: Path, port: int | None = None, **more: str) -> Iterator[Running]:
    """`gatehouse dev` in a process group of its own, as a terminal gives it."""
    port = port or free_port()
    errors = (home / "stderr").open("a")
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "dev"],
        cwd=ROOT,
        env=environment(home, PORT=str(port), **more),
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        printed = ""
        while not printed.rstrip().endswith("}'"):
            line = process.stdout.readline()
            assert line, (home / "stderr").read_text()
            printed += line
        yield Running(process, port, printed)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        process.stdout.close()
        errors.close()


def postgres_of(home: Path) -> list[str]:
    listed = subprocess.run(["ps", "axww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(home) in line and "postgres" in line and "guardian" not in line]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One data folder for the tests of this module, so that only the first pays for making a cluster."""
    # Not below pytest's own folder: as root, Postgres runs as a user who cannot pass through that.
    with tempfile.TemporaryDirectory(prefix="gatehouse-home-") as name:
        Path(name).chmod(0o755)
        early = gatehouse(Path(name), "invites", "list")
        assert (early.returncode, "gatehouse migrate" in early.stderr) == (1, True), early
        assert gatehouse(Path(name), "migrate").returncode == 0
        yield Path(name)


@pytest.fixture(scope="class")
def server(home: Path) -> Iterator[Running]:
    """A server for the tests that leave it running."""
    with dev(home) as running:
        yield running


class TestWhileItRuns:
    def test_dev_prints_what_works_when_pasted(self, home: Path, server: Running) -> None:
        (curl,) = re.findall(r"^curl .*$", server.printed, re.MULTILINE)
        pasted = subprocess.run(shlex.split(curl), capture_output=True, check=True).stdout
        assert orjson.loads(pasted)["data"]["me"]["username"] == "free"

        tokens = dict(re.findall(r"^  ([a-z-]+): .*\n(eyJ\S+)$", server.printed, re.MULTILINE))
        assert set(tokens) == {"free", "uninvited", "paid", "near-limit", "trial-ended", "disabled"}
        assert server.ask(tokens["uninvited"])["data"]["me"]["inviteValidated"] is False
        assert server.ask(tokens["disabled"])["errors"][0]["extensions"]["code"] == "ACCOUNT_DISABLED"

        (key,) = re.findall(r"^iq_[\w-]{43}$", server.printed, re.MULTILINE)
        assert server.ask(key)["data"]["me"]["username"] == "free"

        page = httpx.get(f"http://127.0.0.1:{server.port}/graphql", headers={"Accept": "text/html"}, trust_env=False)
        assert (page.status_code, "graphiql" in page.text.lower()) == (200, True)
        assert httpx.get(f"http://127.0.0.1:{server.port}/ready", trust_env=False).json() == {"status": "ready"}

        port = str(server.port)
        token = gatehouse(home, "token", "--as", "uninvited")
        assert re.fullmatch(r"eyJ\S+\n", token.stdout)
        assert token.stderr == ""
        invited = {
            "query": 'mutation { validateInvite(input: {code: "2026-founders-beta"}) { user { inviteValidated } } }'
        }
        assert server.ask(token.stdout.strip(), invited)["data"]["validateInvite"]["user"]["inviteValidated"] is True

        sent = gatehouse(home, "webhooks", "send", "user.updated", "--as", "paid", "--first-name", "Grace", PORT=port)
        assert sent.stdout == "204\n", sent
        assert server.ask(tokens["paid"])["data"]["me"]["fullName"] == "Grace Example"
        assert "user.updated" in gatehouse(home, "webhooks", "list").stdout

        assert gatehouse(home, "users", "disable", "paid").stdout == "paid is disabled.\n"
        assert server.ask(tokens["paid"])["errors"][0]["extensions"]["code"] == "ACCOUNT_DISABLED"
        assert gatehouse(home, "users", "enable", "paid").returncode == 0
        assert "errors" not in server.ask(tokens["paid"])

    def test_a_second_one_at_once_says_so_in_one_line(self, home: Path, server: Running) -> None:
        second = gatehouse(home, "dev", PORT=str(free_port()))
        assert second.returncode == 1
        assert second.stdout == ""
        (line,) = second.stderr.splitlines()
        assert str(server.process.pid) in line
        assert "errors" not in server.ask(gatehouse(home, "token", "--as", "free").stdout.strip())

    def test_what_people_call_themselves_is_plain_text_to_operators(self, home: Path, server: Running) -> None:
        token = gatehouse(home, "token", "--as", "free").stdout.strip()
        name = "[/x] [link=https://evil.example.test]click[/link] [bold]"
        mutation = "mutation($name: String!) { updateProfile(input: {fullName: $name}) { user { fullName } } }"
        server.ask(token, {"query": mutation, "variables": {"name": name}})
        shown = gatehouse(home, "users", "show", "free")
        assert name in shown.stdout, shown.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_keeps_the_data(home: Path, how: signal.Signals) -> None:
    with dev(home) as server:
        code = gatehouse(home, "invites", "create", "--max-uses", "7").stdout.strip()
        assert re.fullmatch(r"[A-Z2-9]{4}(-[A-Z2-9]{4}){2}", code)
        assert postgres_of(home)
        # As a terminal does it: the whole group gets it, and Postgres must not be among those.
        os.killpg(server.process.pid, how)
        assert server.process.wait(15) == 0
    assert postgres_of(home) == []
    assert code in gatehouse(home, "invites", "list").stdout


def test_a_killed_server_leaves_its_data_intact(home: Path) -> None:
    with dev(home) as server:
        code = gatehouse(home, "invites", "create").stdout.strip()
        server.process.kill()
        server.process.wait(10)
    with dev(home):
        assert code in gatehouse(home, "invites", "list").stdout


def test_requests_under_way_are_answered_before_the_end(home: Path) -> None:
    with dev(home) as server:
        body = orjson.dumps(ME)
        lines = ("POST /graphql HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}")
        head = "\r\n".join((*lines, "", ""))
        with (
            socket.create_connection(("127.0.0.1", server.port)) as slow,
            socket.create_connection(("127.0.0.1", server.port)) as stuck,
        ):
            slow.sendall(head.encode() + body[:5])
            stuck.sendall(head.encode() + body[:5])
            time.sleep(0.3)
            os.kill(server.process.pid, signal.SIGTERM)
            time.sleep(0.3)
            slow.sendall(body[5:])
            slow.settimeout(5)
            answer = b"".join(iter(lambda: slow.recv(4096), b""))
            assert b"UNAUTHENTICATED" in answer
            # The other never sends its end: it does not hold the server for ever.
            assert server.process.wait(15) == 0


def test_commands_without_a_server_bring_postgres_for_themselves(home: Path) -> None:
    status = gatehouse(home, "migrate", "status")
    assert (status.returncode, status.stdout.count("2026_")) == (0, 2)
    assert "uninvited" in gatehouse(home, "seed").stdout
    assert postgres_of(home) == []


@pytest.mark.parametrize(
    ("arguments", "more", "code", "words"),
    [
        (["token", "--as", "bob"], {}, 2, "one of free"),
        (["token", "--as", "free", "--expires", "soon"], {}, 2, "such as 8h"),
        (["token", "--as", "free", "--expires", "90d"], {}, 1, "at most 30 days"),
        (["token", "--as", "free"], {"ENVIRONMENT": "test"}, 1, "DEV_ISSUER_ENABLED"),
        (["dev"], {"PORT": "http"}, 1, "PORT: "),
        (["dev"], {"ENVIRONMENT": "production"}, 1, "DATABASE_URL: "),
        (["dev"], {"DATABASE_URL": "mysql://localhost/x"}, 1, "DATABASE_URL: not a Postgres URL"),
        (["serve"], {}, 1, "DATABASE_URL: "),
        (["dev"], {"DATABASE_READ_URL": "postgresql://h"}, 1, "DATABASE_READ_URL: names no database; write"),
        (["serve"], {"DATABASE_URL": "postgresql://localhost/x"}, 1, "CLERK_DOMAIN"),
        (["migrate", "--to", "1999"], {}, 1, "no revision 1999"),
        (["migrate", "--sql", "--to", "1999"], {}, 1, "no revision 1999"),
        (["migrate"], {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, 1, "DATABASE_URL: the database did not"),
        (["users", "show", "nobody-at-all"], {}, 1, "Nobody with"),
        (["invites", "withdraw", "NOT-A-CODE"], {}, 1, "no such invite code"),
        (["webhooks", "send", "user.updated"], {"PORT": "1"}, 1, "name the port of `make run`"),
        (["frobnicate"], {}, 2, "No such command"),
    ],
)
def test_a_fault_is_told_and_has_an_exit_code(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    more: dict[str, str],
    code: int,
    words: str,
) -> None:
    """In this process, for none of these gets as far as starting anything."""
    monkeypatch.setattr(os, "environ", environment(home, **more))
    monkeypatch.setattr(sys, "argv", ["gatehouse", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    told = capsys.readouterr().err
    assert left.value.code == code, told
    assert words in " ".join(told.split())
    assert "Traceback" not in told
    if code == 1:
        assert len([line for line in told.splitlines() if line.startswith("gatehouse: ")]) == 1


def test_the_installed_command_is_there() -> None:
    help_text = subprocess.run(
        [str(Path(sys.executable).with_name("gatehouse")), "--help"], capture_output=True, text=True, check=True
    ).stdout
    for command in (
        "serve",
        "dev",
        "migrate",
        "seed",
        "schema",
        "token",
        "users",
        "invites",
        "webhooks",
        "sync",
        "keys",
    ):
        assert command in help_text


PRODUCTION = {
    "CLERK_DOMAIN": "clerk.example.test",
    "CLERK_WEBHOOK_SECRET": "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "ALLOWED_ORIGINS": "https://app.example.test",
}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_is_closed_by_default_and_ends_on_sigterm(home: Path, database_url: str, workers: str) -> None:
    port = free_port()
    command = [sys.executable, "-m", "cli", "serve", "--port", str(port), "--workers", workers]
    # uvicorn leaves the socket of its workers to the interpreter's end, which warns.
    more = environment(home, DATABASE_URL=database_url, PYTHONWARNINGS="ignore", **PRODUCTION)
    process = subprocess.Popen(command, cwd=ROOT, env=more, stderr=subprocess.PIPE, text=True)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        answer = None
        for _ in range(200):
            try:
                answer = client.get("/ready")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        assert answer is not None
        assert answer.json() == {"status": "ready"}
        introspection = client.post("/graphql", json={"query": "{ __schema { types { name } } }"}).json()
        assert introspection["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert client.get("/graphql", headers={"Accept": "text/html"}).status_code == 406
        for path in ("/", "/dev/clerk/.well-known/jwks.json", "/dev/oidc/.well-known/openid-configuration"):
            assert client.get(path).status_code == 404
        local = gatehouse(home, "token", "--as", "free").stdout.strip()
        refused = client.post("/graphql", json=ME, headers={"Authorization": f"Bearer {local}"})
        assert refused.status_code == 401
        allowed = client.post("/graphql", json=ME, headers={"Origin": "https://app.example.test"})
        assert allowed.headers["access-control-allow-origin"] == "https://app.example.test"
        foreign = client.post("/graphql", json=ME, headers={"Origin": "https://evil.example.test"})
        assert "access-control-allow-origin" not in foreign.headers
        in_query = client.get(
            "/graphql", params={"query": "{ me { id } }", "variables": '{"secret": "s3cr3t-in-query"}'}
        )
        assert in_query.status_code == 200
    process.terminate()
    _, logged = process.communicate(timeout=20)
    assert process.returncode in (0, -signal.SIGTERM)
    assert local not in logged
    assert "s3cr3t-in-query" not in logged
    assert [line.get("path") for line in map(orjson.loads, logged.splitlines())].count("/ready") == 1
