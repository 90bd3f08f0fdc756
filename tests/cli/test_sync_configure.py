"""`gatehouse sync configure` and where keys go: which are stored and how, which are not, and what goes before them."""

import ast
import asyncio
import os
from pathlib import Path

import orjson
import pytest

import clock
from db.models import ApiKey, User
from domain.api_keys import digest
from tests.cli.conftest import Change, Config, Gatehouse
from tests.cli.terminal import on_terminal
from tests.fakes.clerk_api import answer
from tests.fakes.gatehouse_api import fake_gatehouse, refused
from tests.people import People
from tests.refusals import LONG_AGO

ROOT = Path(__file__).resolve().parents[2]
CONFIGURE = ("sync", "configure")
UNKNOWN = "iq_" + "x" * 43


async def test_a_key_that_does_not_hold_is_not_stored(
    gatehouse: Gatehouse, served_url: str, make: People, change: Change, config: Config
) -> None:
    person, disabled = await make.person(), await make.person()
    revoked, expired, shut = [await make.key(one, "account:read") for one in (person, person, disabled)]
    await change(ApiKey, ApiKey.digest == digest(revoked.secret), revoked_at=LONG_AGO)
    await change(ApiKey, ApiKey.digest == digest(expired.secret), expires_at=LONG_AGO)
    await change(User, User.id == disabled.user_id, disabled_at=clock.now())
    said = set()
    for secret in (revoked.secret, expired.secret, shut.secret, UNKNOWN, "iq_short", "eyJ" + "x" * 43, UNKNOWN + "x"):
        done = await gatehouse(*CONFIGURE, "--url", served_url, stdin=secret)
        assert (done.code, done.out, secret in done.err) == (1, "", False), done
        said.add(done.err)
    assert len(said) == 5  # what is no key at all is told alike
    assert "revoked" in min(said, key=lambda one: "revoked" not in one)
    empty = await gatehouse(*CONFIGURE, "--url", served_url, stdin="\n")
    assert (empty.code, "No API key came in." in empty.err) == (1, True)
    assert not config.exists()


async def test_a_key_is_tried_and_stored_for_its_owner_alone(
    gatehouse: Gatehouse, served_url: str, make: People, config: Config
) -> None:
    name = f"ada-{os.getpid()}"
    person = await make.person(username=name, email=f"{name}@example.test")
    key = await make.key(person, "account:read", "scans:read")
    config.write("{}")
    done = await gatehouse(*CONFIGURE, "--url", f"{served_url}/graphql/", stdin=f"{key.secret}\n")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"The key belongs to {name} <{name}@example.test>, Free.",
        f"Stored in {config.path} as profile default, for {served_url}.",
    ]
    assert key.secret not in done.out
    assert config.modes() == (0o600, 0o700)
    kept = {"url": served_url, "insecure_http": False, "api_key": key.secret}
    assert orjson.loads(config.text()) == {"profiles": {"default": kept}}
    assert config.beside() == ["sync.json"]
    assert (await gatehouse("sync", "status")).code == 0


async def test_profiles_lie_side_by_side_and_the_environment_wins(
    gatehouse: Gatehouse, served_url: str, make: People
) -> None:
    people = [await make.person(username=f"owner-{name}-{os.getpid()}") for name in ("one", "two")]
    one, two = [await make.key(person, "account:read") for person in people]
    first = await gatehouse(*CONFIGURE, "--url", served_url, "--api-key", one.secret)
    second = await gatehouse(*CONFIGURE, "--url", served_url, "--profile", "ci", "--json", stdin=two.secret)
    assert (first.code, second.code, second.json["account"]["username"]) == (0, 0, f"owner-two-{os.getpid()}")
    assert (second.json["profile"], second.json["warnings"]) == ("ci", [])

    async def who(*options: str, **env: str) -> str:
        done = await gatehouse("sync", "status", "--json", *options, env=env)
        return str(done.json["me"]["username"]).split("-")[1] if done.code == 0 else str(done.errors[0]["code"])

    assert await who() == "one"
    assert await who("--profile", "ci") == "two"
    assert await who(GATEHOUSE_PROFILE="ci") == "two"
    assert await who("--profile", "default", GATEHOUSE_PROFILE="ci") == "one"
    assert await who(GATEHOUSE_API_KEY=two.secret) == "two"
    assert await who("--profile", "none") == "NO_PROFILE"
    assert await who("--profile", "none", GATEHOUSE_API_KEY=two.secret) == "NO_PROFILE"
    assert await who("--profile", "none", GATEHOUSE_API_KEY=two.secret, GATEHOUSE_URL=served_url) == "two"
    assert await who(GATEHOUSE_URL="http://127.0.0.1:9") == "CONNECTION_REFUSED"
    assert await who(GATEHOUSE_API_KEY="iq_short") == "NOT_A_KEY"
    assert await who(GATEHOUSE_API_KEY=" ", GATEHOUSE_URL="") == "one"

    again = await gatehouse(*CONFIGURE, stdin=two.secret, env={"GATEHOUSE_API_KEY": one.secret})
    assert (again.code, "goes before what is stored" in again.err) == (0, True)
    assert await who() == "two"


async def test_without_any_key_one_is_told_how_to_get_it(gatehouse: Gatehouse) -> None:
    done = await gatehouse("sync", "status")
    assert (done.code, "gatehouse sync configure" in done.err) == (1, True)


@pytest.mark.parametrize("told", [b"", answer(503, b""), refused("SERVICE_UNAVAILABLE", status=503)])
async def test_where_the_server_cannot_be_asked_a_key_is_stored_with_a_warning(
    gatehouse: Gatehouse, waits: list[float], config: Config, told: bytes
) -> None:
    async with fake_gatehouse(told) as fake:
        done = await gatehouse(*CONFIGURE, "--url", fake.url, stdin=UNKNOWN)
    assert (done.code, "could not be tried" in done.err, config.exists()) == (0, True, True), done
    assert len(waits) == 2


@pytest.mark.parametrize(
    "told", [answer(404, b""), answer(200, b"<html>"), answer(301, b"", location="https://x.test"), answer(200, {})]
)
async def test_what_is_no_gatehouse_gets_no_profile(gatehouse: Gatehouse, config: Config, told: bytes) -> None:
    async with fake_gatehouse(told) as fake:
        done = await gatehouse(*CONFIGURE, "--url", fake.url, stdin=UNKNOWN)
    assert (done.code, "Nothing was stored." in done.err, config.exists()) == (1, True, False), done


async def test_a_key_without_account_read_is_stored_all_the_same(
    gatehouse: Gatehouse, served_url: str, make: People, config: Config
) -> None:
    key = await make.key(await make.person(), "scans:write")
    done = await gatehouse(*CONFIGURE, "--url", served_url, stdin=key.secret)
    assert (done.code, "account:read" in done.err, key.secret in config.text()) == (0, True, True)


async def test_a_key_does_not_travel_in_the_open_unless_somebody_says_so(
    gatehouse: Gatehouse, waits: list[float], config: Config
) -> None:
    there = {"GATEHOUSE_API_KEY": UNKNOWN, "GATEHOUSE_URL": "http://gatehouse.invalid"}
    for command in (("sync", "status"), ("sync", "list"), ("sync", "push", "-"), CONFIGURE, ("keys", "list")):
        done = await gatehouse(*command, stdin="{}", env={**there, "GATEHOUSE_TOKEN": "token"})
        assert (done.code, "everybody on the way" in done.err) == (1, True), done
    open_way = await gatehouse("sync", "status", "--insecure-http", "--json", env=there)
    assert open_way.errors[0]["code"] == "DNS"
    # Agreed to once, for this address alone.
    await gatehouse(*CONFIGURE, "--url", "http://gatehouse.invalid", "--insecure-http", stdin=UNKNOWN)
    assert config.exists()
    agreed = await gatehouse("sync", "status", "--json")
    assert agreed.errors[0]["code"] == "DNS"
    other = await gatehouse("sync", "status", "--json", env={"GATEHOUSE_URL": "http://other.invalid"})
    assert other.errors[0]["code"] == "INSECURE_URL"


async def test_the_server_of_this_machine_is_the_default(gatehouse: Gatehouse, waits: list[float]) -> None:
    done = await gatehouse("sync", "status", "--json", env={"PORT": "9", "GATEHOUSE_API_KEY": UNKNOWN})
    assert done.errors[0]["code"] == "CONNECTION_REFUSED"
    assert "http://127.0.0.1:9/graphql" in done.errors[0]["message"]


async def test_a_file_that_is_not_ours_stays_as_it_is(gatehouse: Gatehouse, config: Config) -> None:
    for content in ("{", "[]", '{"profiles": {"default": {"url": 1}}}', f'{{"profiles": {{"default": "{UNKNOWN}"}}}}'):
        config.write(content)
        for command, stdin in ((("sync", "status"), ""), (CONFIGURE, UNKNOWN)):
            done = await gatehouse(*command, stdin=stdin)
            assert (done.code, str(config.path) in done.err, UNKNOWN in done.err) == (1, True, False)
        assert config.text() == content


async def test_others_who_may_read_the_file_are_noticed(
    gatehouse: Gatehouse, served_url: str, make: People, config: Config
) -> None:
    key = await make.key(await make.person(), "account:read")
    assert (await gatehouse(*CONFIGURE, "--url", served_url, stdin=key.secret)).code == 0
    config.write(config.text(), 0o644)
    done = await gatehouse("sync", "status")
    assert (done.code, "chmod 600" in done.err) == (0, True)


async def test_on_a_terminal_the_key_is_asked_for_and_not_shown(
    served_url: str, make: People, config: Config, tmp_path: Path
) -> None:
    key = await make.key(await make.person(), "account:read")
    here = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(config.path.parent.parent)}
    code, shown = await asyncio.to_thread(
        on_terminal, ["sync", "configure", "--url", served_url], here, {b"API key: ": f"{key.secret}\n".encode()}
    )
    assert (code, b"Stored in" in shown) == (0, True), shown
    assert key.secret.encode() not in shown
    assert key.secret in config.text()


OURS = (
    "app",
    "auth",
    "db",
    "domain",
    "engine",
    "errors",
    "integrations",
    "resolvers",
    "schema",
    "settings",
    "webhooks",
)


@pytest.mark.parametrize("path", [*(ROOT / "cli/sync").glob("*.py"), ROOT / "cli/keys.py"], ids=lambda path: path.stem)
def test_a_client_knows_the_api_alone(path: Path) -> None:
    """Neither rules nor tables: what it can do, any client can."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
    ours = {name for name in imported if name.split(".")[0] in OURS}
    assert ours == ({"domain.scans_json"} if path.name == "__init__.py" else set())
