"""`gatehouse keys`: who may not, what is made and printed where, and the pipe into `gatehouse sync configure`."""

from datetime import timedelta

import pytest

import clock
from db.models import ApiKey
from tests.cli.conftest import Config, Gatehouse
from tests.conftest import Rows
from tests.fakes.clerk_api import answer
from tests.fakes.gatehouse_api import DROP, fake_gatehouse
from tests.people import People, Person


def env(url: str, who: Person | None) -> dict[str, str]:
    return {"GATEHOUSE_URL": url} | ({"GATEHOUSE_TOKEN": who.token} if who else {})


async def names(rows: Rows, who: Person) -> list[str]:
    return [key.name for key in await rows(ApiKey, ApiKey.user_id == who.user_id)]


async def test_without_a_session_no_key_is_touched(
    gatehouse: Gatehouse, served_url: str, make: People, rows: Rows, config: Config
) -> None:
    person = await make.person()
    key = await make.key(person, "account:read", "scans:read", "scans:write")
    before = await names(rows, person)
    stale = f"{person.token[:-4]}AAAA"
    for command in (("create", "x"), ("rotate", "test"), ("revoke", "test"), ("list",)):
        none = await gatehouse("keys", *command, env=env(served_url, None))
        assert (none.code, "GATEHOUSE_TOKEN" in none.err) == (1, True)
        old = await gatehouse("keys", *command, "--token", stale, "--json", env=env(served_url, None))
        assert (old.code, old.errors[0]["code"]) == (1, "UNAUTHENTICATED")
        assert "GATEHOUSE_TOKEN" in old.errors[0]["remedy"]
        assert stale not in old.out + old.err
    # A key reads its owner's keys, and manages none.
    for command in (("create", "x"), ("rotate", "test"), ("revoke", "test")):
        by_key = await gatehouse("keys", *command, "--token", key.secret, "--json", env=env(served_url, None))
        assert (by_key.code, by_key.errors[0]["code"], by_key.out) == (1, "FORBIDDEN", "")
    for odd in ("a b", "ü", "a\nb"):
        done = await gatehouse("keys", "list", "--token", odd, "--json", env=env(served_url, None))
        assert (done.code, done.errors[0]["code"]) == (1, "NO_TOKEN")
    assert await names(rows, person) == before
    assert not config.exists()


async def test_a_new_key_is_alone_on_stdout_and_goes_through_a_pipe(
    gatehouse: Gatehouse, served_url: str, make: People, rows: Rows, config: Config
) -> None:
    person = await make.person()
    here = env(served_url, person)
    made = await gatehouse("keys", "create", "ci", "--scope", "scans:write", "--expires", "90d", env=here)
    assert (made.code, made.out[:3], len(made.out)) == (0, "iq_", 47)
    assert "ci: scans:write, until 20" in made.err
    [row] = await rows(ApiKey, ApiKey.user_id == person.user_id, ApiKey.name == "ci")
    assert row.scopes == ["scans:write"]
    assert abs(row.expires_at - clock.now() - timedelta(days=90)) < timedelta(minutes=5)
    stored = await gatehouse("sync", "configure", stdin=made.out, env={"GATEHOUSE_URL": served_url})
    assert (stored.code, made.out.strip() in config.text()) == (0, True)
    # The token is kept nowhere.
    assert person.token not in config.text()

    whole = await gatehouse("keys", "create", "all", "--json", env=here)
    assert (whole.code, whole.err, whole.json["apiKey"]["state"]) == (0, "", "works")
    assert whole.json["apiKey"]["scopes"] == ["account:read", "scans:read", "scans:write"]
    assert whole.json["secret"].startswith(whole.json["apiKey"]["prefix"])


async def test_a_key_is_replaced_and_stopped_by_what_one_knows_of_it(
    gatehouse: Gatehouse, served_url: str, make: People
) -> None:
    person = await make.person()
    here = env(served_url, person)
    old = (await gatehouse("keys", "create", "ci", env=here)).out.strip()
    new = await gatehouse("keys", "rotate", "ci", "--overlap", "0s", env=here)
    assert (new.code, new.out.startswith("iq_"), new.out.strip() != old) == (0, True, True)
    listed = await gatehouse("keys", "list", "--json", env=here)
    states = {(key["name"], key["state"]) for key in listed.json["apiKeys"]}
    assert states == {("Default", "works"), ("ci", "works"), ("ci", "revoked")}
    assert old not in listed.out

    # While the old one works on, the name alone does not say which.
    both = await gatehouse("keys", "rotate", new.out[:7], "--json", env=here)
    assert both.code == 0
    vague = await gatehouse("keys", "revoke", "ci", env=here)
    assert (vague.code, "fits 2 keys" in vague.err) == (1, True)
    gone = await gatehouse("keys", "revoke", both.json["apiKey"]["id"], env=here)
    assert (gone.code, gone.out, "(ci) works no more" in gone.err) == (0, "", True)
    again = await gatehouse("keys", "revoke", both.json["apiKey"]["id"], "--json", env=here)
    assert (again.code, again.json["apiKey"]["state"]) == (0, "revoked")
    unknown = await gatehouse("keys", "revoke", "nothing", env=here)
    assert (unknown.code, "gatehouse keys list" in unknown.err) == (1, True)
    table = await gatehouse("keys", "list", env=here)
    assert table.out.splitlines()[0].split()[:4] == ["key", "name", "state", "scopes"]


async def test_another_persons_key_is_out_of_reach(
    gatehouse: Gatehouse, served_url: str, make: People, rows: Rows
) -> None:
    person, other = await make.person(), await make.person()
    listed = await gatehouse("keys", "list", "--json", env=env(served_url, other))
    [key] = listed.json["apiKeys"]
    for command in ("revoke", "rotate"):
        done = await gatehouse("keys", command, key["id"], "--json", env=env(served_url, person))
        assert (done.code, done.errors[0]["code"]) == (1, "NOT_FOUND")
    [row] = await rows(ApiKey, ApiKey.user_id == other.user_id)
    assert row.revoked_at is None


async def test_a_lost_answer_makes_one_key(gatehouse: Gatehouse, make: People, waits: list[float]) -> None:
    person = await make.person()
    key = {"id": "x", "name": "ci", "prefix": "iq_1234", "scopes": [], "createdAt": "2026-11-20T14:05:06.123456Z"}
    dates = dict.fromkeys(("lastUsedAt", "expiresAt", "revokedAt"))
    lost = answer(200, {"data": {"made": {"secret": None, "apiKey": {**key, **dates}}}})
    async with fake_gatehouse(DROP, lost) as fake:
        done = await gatehouse("keys", "create", "ci", env=env(fake.url, person))
    first, second = fake.inputs()
    assert first == second
    assert first["idempotencyKey"]
    assert (done.code, done.out, "gatehouse keys revoke x" in done.err) == (1, "", True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["create"], 2, "Missing argument"),
        (["create", "x", "--scope", "everything"], 2, "is not one of"),
        (["create", "x", "--expires", "soon"], 2, "such as 8h"),
        (["create", "x" * 101], 1, "input.name: "),
        (["create", "x", "--expires", "9999d"], 1, "input.expiresAt: "),
        (["rotate", "Default", "--overlap", "8d"], 1, "input.overlapSeconds: "),
    ],
)
async def test_faults_are_told(
    gatehouse: Gatehouse, served_url: str, make: People, rows: Rows, arguments: list[str], code: int, words: str
) -> None:
    person = await make.person()
    done = await gatehouse("keys", *arguments, env=env(served_url, person))
    assert (done.code, done.out, words in done.said) == (code, "", True), done
    assert await names(rows, person) == ["Default"]
