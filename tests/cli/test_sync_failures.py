"""Servers and networks that misbehave: what is tried again and how, what each is called, and what never shows."""

import re
import socket
import ssl
from datetime import timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import clock
from cli.sync import client
from tests.cli.conftest import Gatehouse, Write
from tests.fakes.clerk_api import answer
from tests.fakes.gatehouse_api import DRIP, DROP, FLOOD, HANG, SCAN, created, fake_gatehouse, refused

KEY = "iq_" + "s3cr3t-" * 6 + "x"
PUSH = ("sync", "push", "-", "--json")


def env(url: str) -> dict[str, str]:
    return {"GATEHOUSE_URL": url, "GATEHOUSE_API_KEY": KEY}


def dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


BUSY = {
    "429": answer(429, b"slow down"),
    "502": answer(502, b"<html>Bad gateway</html>", content_type="text/html"),
    "500": answer(500, b""),
    "dropped": DROP,
    "half": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "garbage": b"SSH-2.0-OpenSSH_9.6\r\n",
    "unavailable": refused("SERVICE_UNAVAILABLE", status=503),
    "unavailable, 200": refused("SERVICE_UNAVAILABLE"),
    "limited": refused("RATE_LIMITED", retryAfter=1),
    "twin": refused("CONFLICT", "The same request is still being worked on."),
}


@pytest.mark.parametrize("name", BUSY)
async def test_what_may_pass_is_tried_again_under_the_same_key(
    gatehouse: Gatehouse, waits: list[float], name: str
) -> None:
    async with fake_gatehouse(BUSY[name], BUSY[name], created(SCAN)) as fake:
        done = await gatehouse("sync", "push", "-", stdin="{}", env=env(fake.url))
    assert (done.code, done.out) == (0, "stdin: bandit on shop: 1 high, 2 low, 1 suppressed; new\n")
    assert done.err == ""
    assert len(waits) == 2
    first, second, third = fake.inputs()
    assert first["idempotencyKey"]
    assert first == second == third


async def test_waits_grow_and_vary_and_come_to_an_end(gatehouse: Gatehouse, waits: list[float]) -> None:
    async with fake_gatehouse(DROP) as fake:
        for _ in range(2):
            done = await gatehouse(*PUSH, "--retries", "8", stdin="{}", env=env(fake.url))
            assert (done.code, done.errors[0]["code"]) == (1, "DROPPED")
    assert len(fake.bodies) == 18
    assert len(waits) == 16
    for attempt, wait in enumerate(waits):
        longest = min(30, 0.5 * 2 ** (attempt % 8))
        assert longest / 2 <= wait <= longest
    assert waits[:8] != waits[8:]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7.5),
        ("in 20 seconds", 15, 21),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0.5),
        ("soon", 0, 0.5),
        ("-5", 0, 0.5),
        ("Wed, 21 Oct 2015 07:28:00", 0, 0.5),
    ],
)
async def test_a_server_says_when(
    gatehouse: Gatehouse, waits: list[float], header: str, least: float, most: float
) -> None:
    if header == "in 20 seconds":
        header = format_datetime(clock.now() + timedelta(seconds=20), usegmt=True)
    async with fake_gatehouse(answer(503, b"", retry_after=header), created(SCAN)) as fake:
        assert (await gatehouse(*PUSH, stdin="{}", env=env(fake.url))).code == 0
    [wait] = waits
    assert least <= wait <= most


async def test_nobody_waits_for_an_hour(gatehouse: Gatehouse, waits: list[float]) -> None:
    async with fake_gatehouse(refused("RATE_LIMITED", "Too many.", status=429, retryAfter=3600)) as fake:
        done = await gatehouse(*PUSH, stdin="{}", env=env(fake.url))
    assert (done.code, waits, len(fake.bodies)) == (1, [], 1)
    assert (done.errors[0]["retryAfter"], done.errors[0]["remedy"]) == (3600, "Try again in 3600 seconds.")


FINAL = {
    "a web page": (answer(200, b"<!doctype html><p>Sign in", content_type="text/html"), "HTML", "web page"),
    "not found": (answer(404, b"<html>", content_type="text/html"), "WRONG_URL", "HTTP 404"),
    "moved": (answer(308, b"", location="https://elsewhere.test/"), "REDIRECTED", "https://elsewhere.test/"),
    "a proxy": (answer(403, b"<html>", content_type="text/html"), "REFUSED_ON_THE_WAY", "proxy"),
    "too large": (answer(413, b""), "TOO_LARGE", "HTTP 413"),
    "other JSON": (answer(200, {"hello": "world"}), "NOT_GATEHOUSE", "not as a Gatehouse"),
    "a list": (answer(200, []), "NOT_GATEHOUSE", "not as a Gatehouse"),
    "nothing": (answer(200, b""), "NOT_GATEHOUSE", "not as a Gatehouse"),
    "broken gzip": (answer(200, b"{}", content_encoding="gzip"), "DROPPED", "broke off"),
    "other GraphQL": (
        answer(400, {"errors": [{"message": "Cannot query field 'createScan'."}]}),
        "NOT_GATEHOUSE",
        "does not understand this command: Cannot query",
    ),
    "another version": (
        refused("GRAPHQL_VALIDATION_FAILED", "No field."),
        "GRAPHQL_VALIDATION_FAILED",
        "another version",
    ),
    "other fields": (answer(200, {"data": {"createScan": {"created": "many"}}}), "NOT_GATEHOUSE", "other fields"),
    "null": (answer(200, {"data": {"createScan": None}}), "NOT_GATEHOUSE", "other fields"),
    "a flood": (FLOOD, "NOT_GATEHOUSE", "without an end"),
    "revoked": (
        refused("UNAUTHENTICATED", "This API key was revoked. Create a new one.", status=401),
        "UNAUTHENTICATED",
        "keys create NAME",
    ),
    "internal": (refused("INTERNAL_SERVER_ERROR", "Quote request 1f2e."), "INTERNAL_SERVER_ERROR", "1f2e"),
}


@pytest.mark.parametrize("name", FINAL)
async def test_each_failure_has_its_name_and_words(
    gatehouse: Gatehouse, waits: list[float], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(client, "_MAX_ANSWER", 4 * 1024 * 1024)
    told, code, words = FINAL[name]
    async with fake_gatehouse(told) as fake:
        done = await gatehouse(*PUSH, "--retries", "0", stdin="{}", env=env(fake.url))
        assert (done.code, [error["code"] for error in done.errors]) == (1, [code]), done
        shown = await gatehouse("sync", "push", "-", stdin="{}", env=env(fake.url))
    assert (shown.code, words in shown.err) == (1, True), shown
    assert waits == [] or code == "DROPPED"
    assert shown.err.startswith("gatehouse: stdin: ")


async def test_a_network_without_a_server(gatehouse: Gatehouse, waits: list[float]) -> None:
    done = await gatehouse(*PUSH, stdin="{}", env=env(f"http://127.0.0.1:{dead_port()}"))
    assert (done.errors[0]["code"], len(waits)) == ("CONNECTION_REFUSED", 4)
    waits.clear()
    nowhere = await gatehouse(*PUSH, stdin="{}", env=env("https://no-such-host.invalid"))
    assert nowhere.errors[0]["code"] == "DNS"
    assert "no-such-host.invalid" in nowhere.errors[0]["message"]


@pytest.mark.parametrize("told", [HANG, DRIP])
async def test_patience_ends(gatehouse: Gatehouse, waits: list[float], told: bytes) -> None:
    async with fake_gatehouse(told, created(SCAN)) as fake:
        assert (await gatehouse(*PUSH, "--timeout", "1", stdin="{}", env=env(fake.url))).code == 0
    assert len(waits) == 1
    async with fake_gatehouse(told) as fake:
        done = await gatehouse(*PUSH, "--timeout", "1", "--retries", "0", stdin="{}", env=env(fake.url))
    assert (done.code, done.errors[0]["code"]) == (1, "TIMEOUT")


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's context whose certificate nobody has reason to trust."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = clock.now()
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
    named = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = built.add_extension(named, critical=True).sign(key, hashes.SHA256())
    file = tmp_path / "server.pem"
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, *plain) + signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_certificate_that_does_not_hold_gets_no_key(
    gatehouse: Gatehouse, served_url: str, waits: list[float], certificate: ssl.SSLContext
) -> None:
    async with fake_gatehouse(created(SCAN), tls=certificate) as fake:
        done = await gatehouse(*PUSH, stdin="{}", env=env(fake.url))
        assert (done.code, done.errors[0]["code"], fake.heads, waits) == (1, "TLS", [], [])
    done = await gatehouse(*PUSH, stdin="{}", env=env(served_url.replace("http:", "https:")))
    assert (done.code, done.errors[0]["code"], waits) == (1, "TLS", [])
    assert "https fits the port" in done.errors[0]["remedy"]


@pytest.mark.parametrize("asked", [(), ("--json",)])
async def test_what_a_server_says_steers_no_terminal_and_tells_no_key(
    gatehouse: Gatehouse, asked: tuple[str, ...]
) -> None:
    nasty = f"\x1b]0;owned\x07\x9b2J\u202e{KEY}\r\n[red]x[/red]"
    fields = [{"path": f"input.report {nasty}", "message": nasty, "row": n} for n in range(14)]
    scan = {**SCAN, "tool": nasty, "target": nasty, "metadata": {"a": nasty}}
    remedies = [{"message": nasty, "url": nasty}, "nonsense", None]
    for told in (
        refused("BAD_USER_INPUT", nasty, fields=fields),
        refused("TIER_LIMIT_REACHED", nasty, remedies=remedies),
        refused(nasty, nasty),
        answer(302, b"", location=f"https://x.test/{KEY}"),
        created(scan),
    ):
        async with fake_gatehouse(told) as fake:
            done = await gatehouse("sync", "push", "-", *asked, stdin="{}", env=env(fake.url))
        printed = done.out + done.err
        assert not [sign for sign in printed if not sign.isprintable() and sign != "\n"]
        assert "s3cr3t" not in printed
        assert "[red]x" in printed or told.startswith(b"HTTP/1.1 302")


async def test_faults_and_remedies_are_shown_ten_at_most(gatehouse: Gatehouse) -> None:
    fields = [{"path": "input.report", "message": f"Fault {n}.", "row": n, "column": "Qty"} for n in range(14)]
    async with fake_gatehouse(refused("BAD_USER_INPUT", "Faults.", fields=fields)) as fake:
        done = await gatehouse("sync", "push", "-", stdin="{}", env=env(fake.url))
        told = await gatehouse(*PUSH, stdin="{}", env=env(fake.url))
    assert done.err.splitlines()[1] == "  input.report, row 0, column Qty: Fault 0."
    assert done.err.splitlines()[10:] == ["  input.report, row 9, column Qty: Fault 9.", "  … and 4 more"]
    assert told.errors[0]["fields"] == fields
    remedies = [{"kind": "UPGRADE", "message": "Upgrade to Paid.", "url": "https://x.test/up", "availableAt": None}]
    limit = refused("TIER_LIMIT_REACHED", "You have used 5 of 5 scans.", remedies=remedies, limit=5)
    async with fake_gatehouse(limit) as fake:
        done = await gatehouse("sync", "push", "-", stdin="{}", env=env(fake.url))
        told = await gatehouse(*PUSH, stdin="{}", env=env(fake.url))
    assert done.err.splitlines() == [
        "gatehouse: stdin: You have used 5 of 5 scans.",
        "  Upgrade to Paid. https://x.test/up",
    ]
    assert (told.errors[0]["limit"], told.errors[0]["remedies"]) == (5, remedies)


async def test_a_proxy_is_not_sent_what_stays_on_this_machine(gatehouse: Gatehouse, write: Write) -> None:
    async with fake_gatehouse(answer(502, b"")) as proxy, fake_gatehouse(created(SCAN)) as fake:
        here = env(fake.url) | {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "ALL_PROXY": proxy.url}
        done = await gatehouse("sync", "push", write("r.json", "{}"), env=here)
        assert (done.code, proxy.heads) == (0, [])
    assert fake.paths == ["POST /graphql HTTP/1.1"]
    assert fake.heads[0]["authorization"] == f"Bearer {KEY}"


def test_every_code_of_the_command_is_documented() -> None:
    """Those that no server has; and none that is gone."""
    root = Path(__file__).resolve().parents[2]
    sources = "".join(path.read_text() for path in [*(root / "cli/sync").glob("*.py"), root / "cli/keys.py"])
    used = set(re.findall(r'(?:Failure\(\s*|_\w+ = \(\s*|: \()"([A-Z_]+)"', sources))
    page = (root / "docs/sync.md").read_text()
    documented = set(re.findall(r"`([A-Z_]+)`", page.partition("has spoken:")[2]))
    servers = set(re.findall(r"^## `([A-Z_]+)`$", (root / "docs/errors.md").read_text(), re.MULTILINE))
    assert documented
    assert used - servers == documented
