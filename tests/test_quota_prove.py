"""`gatehouse quota prove`: quotas hold, what does not is found, a seed repeats its plan, and nothing is left."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from cli.quota.attack import Orders, attack
from cli.quota.plan import LIMIT, SPENDERS, rounds
from db import proving
from db.proving import ATTACKS
from db.roles import name_in
from db.scratch import CHECKS, PREFIX, Scratch, leftovers
from db.session import Database
from tests.conftest import WEBHOOK_SECRET
from tests.refusals import stored

ROOT = Path(__file__).resolve().parents[1]
SUMS = "every counter is the sum of its ledger rows"
AS_ASKED = "nothing failed, and the database let no attack through"
NOTHING_LOST = "what was answered as granted or returned is in the ledger"
SCHEMAS = f"select count(*) from pg_namespace where starts_with(nspname, '{PREFIX}')"

# In the place of the counter's one statement: look, then write. Every ORM does it so.
LOOK_THEN_WRITE = """
do $$ declare
    body text := pg_get_functiondef('move_counter'::regproc);
    one_statement text := substring(body from 'insert into counters as c .*?returning c.used into new.balance;');
begin
    execute replace(body, one_statement, '
        insert into counters values (new.user_id, new.feature, new.period, 0) on conflict do nothing;
        select used + new.amount into new.balance from counters
        where user_id = new.user_id and feature = new.feature and period = new.period;
        perform pg_sleep(0.001);
        if new.balance > new.limit_then then return null; end if;
        update counters set used = new.balance
        where user_id = new.user_id and feature = new.feature and period = new.period;
    ');
end $$
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


class Command:
    """The command in a process of its own, as an operator starts it in production."""

    def __init__(self, home: Path, url: str, *arguments: str) -> None:
        production = {"ENVIRONMENT": "production", "CLERK_ISSUER": "https://clerk.test", "PYTHONWARNINGS": "error"}
        production |= {"CLERK_WEBHOOK_SECRET": WEBHOOK_SECRET, "DATABASE_URL": url}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "quota", "prove", *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(home), **production},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def ended(self) -> tuple[int, str, str]:
        """Exit code, and what was printed."""
        printed, said = await asyncio.to_thread(self.process.communicate, timeout=60)
        return self.process.returncode, printed, said


async def test_quotas_hold_and_nothing_is_left(
    tmp_path: Path, database_url: str, database: Database, connection: asyncpg.Connection
) -> None:
    before = await stored(database)
    arguments = ("--processes", "2", "--rounds", "3", "--seed", "11")
    code, printed, said = await Command(tmp_path, database_url, *arguments).ended()
    assert (code, said) == (0, ""), printed
    assert "11 (--seed 11 tries the same)" in printed
    assert all(words in printed for words in CHECKS)
    assert "broken" not in printed
    for counted in ("granted", "refused", "returned", "direct SQL", "killed", "timed out", "month ends"):
        (line,) = (line for line in printed.splitlines() if line.startswith(f"{counted}  "))
        assert int(line.removeprefix(counted).split()[0]) > 0, line
    assert await connection.fetchval(SCHEMAS) == 0
    assert await stored(database) == before


@pytest.mark.parametrize(
    ("sabotage", "found"),
    [
        ((LOOK_THEN_WRITE,), (SUMS,)),
        # A worker may be killed after its attack went through, and before it has said so: then what it did is found.
        (("drop trigger only_grows on ledger",), (AS_ASKED, SUMS, NOTHING_LOST)),
    ],
    ids=["a race", "no guard"],
)
async def test_what_does_not_hold_is_found(
    sabotage: tuple[str, ...], found: tuple[str, ...], database_url: str, connection: asyncpg.Connection
) -> None:
    orders = Orders(database_url, None, processes=2, seed=23, seconds=30, rounds=None, sabotage=sabotage)
    verdict = await attack(orders, lambda _done: None)
    assert not verdict.holds
    assert any(verdict.wrong[one] for one in found), verdict
    assert await connection.fetchval(SCHEMAS) == 0


@pytest.fixture
async def limited(postgres: str, scratch_url: str) -> AsyncIterator[tuple[str, str]]:
    """An empty database as somebody with no rights at all sees it, and who that is."""
    name = f"limited_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"create role {name} login")
    parts = urlsplit(scratch_url)
    yield urlunsplit(parts._replace(netloc=f"{name}@{parts.netloc.partition('@')[2]}")), name
    database = parts.path.removeprefix("/")
    await admin.execute(f"revoke all on database {database} from {name}")
    await admin.execute(f"drop role {name}")
    await admin.close()


async def test_who_may_not_make_a_schema_is_told(limited: tuple[str, str], tmp_path: Path) -> None:
    url, _ = limited
    code, printed, said = await Command(tmp_path, url, "--processes", "1").ended()
    assert (code, printed) == (1, "")
    assert said.startswith("gatehouse: The database's user may not make the scratch schema.")
    assert said.count("\n") == 1


async def test_triggers_alone_hold_it_too_and_a_pooler_does_not_matter(
    limited: tuple[str, str], scratch_url: str
) -> None:
    """Where the application cannot have a role of its own, and where settings last for a transaction only."""
    url, name = limited
    admin = await asyncpg.connect(scratch_url)
    await admin.execute(f"grant create on database {urlsplit(url).path.removeprefix('/')} to {name}")
    orders = Orders(url, direct_url=url, processes=2, seed=4, seconds=0, rounds=2)
    verdict = await attack(orders, lambda _done: None)
    assert verdict.holds, (verdict.wrong, verdict.reasons)
    assert await admin.fetchval(SCHEMAS) == 0
    await admin.close()


@pytest.fixture
async def scratch(database_url: str) -> AsyncIterator[Scratch]:
    made = Scratch(database_url)
    await made.make()
    yield made
    await made.remove()


FIRST, SECOND = uuid.uuid4(), uuid.uuid4()
USER = uuid.uuid4()
HONEST = f"""
insert into ledger (paid_for, kind, user_id, feature, period, amount, limit_then, created_at) values
    ('{FIRST}', 'spend', '{USER}', 'aiMessages', '2026-11-01', 1, 2, '2026-11-20T12:00Z'),
    ('{SECOND}', 'spend', '{USER}', 'aiMessages', '2026-11-01', 1, 2, '2026-11-21T12:00Z');
insert into ledger (paid_for, kind, created_at) values ('{SECOND}', 'return', '2026-11-22T12:00Z');
insert into proved_work (id, user_id, feature, limit_then, undone) values
    ('{FIRST}', '{USER}', 'aiMessages', 2, false), ('{SECOND}', '{USER}', 'aiMessages', 2, true)
"""
# Of the checks, in their order.
FORGERIES = [
    "update counters set used = used + 1",
    f"update proved_work set limit_then = 0 where id = '{FIRST}'",
    f"update ledger set balance = 7 where paid_for = '{SECOND}' and kind = 'return'",
    f"delete from proved_work where id = '{FIRST}'",
    f"update proved_work set undone = true where id = '{FIRST}'",
    f"update ledger set created_at = '2026-12-01T00:00Z' where paid_for = '{FIRST}'",
    "update usage_days set count = count + 1",
]


TABLES = ("ledger", "counters", "usage_days", "proved_work")


@pytest.fixture
async def used(scratch: Scratch) -> Scratch:
    """A scratch schema in which all is well."""
    await scratch.add_accounts([USER])
    await scratch.execute(HONEST.split(";"))
    assert set((await scratch.wrong()).values()) == {0}
    return scratch


async def test_each_check_finds_what_it_is_for(used: Scratch) -> None:
    # What triggers and constraints refuse is forged by lifting them, as an owner could.
    await used.execute(f"alter table {table} disable trigger user" for table in TABLES)
    await used.execute(["alter table ledger drop constraint ck_ledger_period"])
    await used.execute(f"create table honest_{table} as table {table}" for table in TABLES)
    for words, forgery in zip(CHECKS, FORGERIES, strict=True):
        await used.execute([forgery])
        assert (await used.wrong())[words] > 0, forgery
        await used.execute(f"delete from {table}" for table in TABLES)
        await used.execute(f"insert into {table} table honest_{table}" for table in TABLES)
        assert set((await used.wrong()).values()) == {0}


async def test_an_answer_that_was_not_kept_is_missed(used: Scratch) -> None:
    assert await used.missing("spend", [FIRST, SECOND, uuid.uuid4()]) == 1
    assert await used.missing("return", [FIRST, SECOND]) == 1


@pytest.mark.parametrize("owner", [False, True])
async def test_what_the_database_lets_through_is_told(owner: bool, used: Scratch, database_url: str) -> None:
    application = name_in(urlsplit(database_url).path[1:])
    given = {"user": USER, "feature": "aiMessages", "now": datetime.now(UTC)}
    for number in range(len(ATTACKS)):
        assert await proving.attack(used.database, number, owner=owner, values=given), ATTACKS[number]
    assert set((await used.wrong()).values()) == {0}
    await used.execute(
        [
            "drop trigger only_grows on ledger",
            "drop trigger rows_stay on ledger",
            f"grant delete on ledger to {application}",
        ]
    )
    assert not await proving.attack(used.database, ATTACKS.index("delete from ledger"), owner=owner, values=given)


def test_the_seed_repeats_the_plan() -> None:
    plan, again, other = (list(islice(rounds(seed, 4, len(ATTACKS)), 5)) for seed in (1, 1, 2))
    assert plan == again
    assert all(one != another for one, another in zip(plan, other, strict=True))


def test_the_first_round_is_the_classic() -> None:
    classic = next(rounds(3, 4, len(ATTACKS)))
    assert [len(share.steps) for share in classic.shares] == [SPENDERS // 4] * 4
    steps = [step for share in classic.shares for step in share.steps]
    assert {(step.deed, step.account, step.tier, step.cancel_after) for step in steps} == {
        ("spend", *classic.accounts, "small", None)
    }
    assert classic.limits["small"]["aiMessages"] == LIMIT


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_it_cleans_up(
    signal_: signal.Signals, tmp_path: Path, database_url: str, connection: asyncpg.Connection
) -> None:
    prover = Command(tmp_path, database_url, "--processes", "1", "--seconds", "60")
    while not await connection.fetchval(SCHEMAS):
        assert prover.process.poll() is None
        await asyncio.sleep(0.05)
    prover.process.send_signal(signal_)
    stopped = "gatehouse: stopped before there was a verdict; the scratch schema is gone.\n"
    assert await prover.ended() == (1, "", stopped)
    assert await connection.fetchval(SCHEMAS) == 0


async def test_what_a_killed_prover_has_left_is_named(database: Database, connection: asyncpg.Connection) -> None:
    now = datetime.now(UTC)
    made = {f"{PREFIX}00000000000{number}": now - timedelta(minutes=age) for number, age in enumerate((120, 30))}
    for name, begun in made.items():
        await connection.execute(f"create schema {name}")
        await connection.execute(f"comment on schema {name} is 'gatehouse quota prove, begun {begun.isoformat()}'")
    await connection.execute(f"create schema {PREFIX}somebody_else")
    try:
        assert await leftovers(database, now - timedelta(hours=1)) == [next(iter(made))]
    finally:
        for name in (*made, f"{PREFIX}somebody_else"):
            await connection.execute(f"drop schema {name}")
