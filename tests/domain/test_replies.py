"""The way of an answer from the queue to its end, with a fake language model: settled once, however it goes."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

import clock
import domain
from db import queries
from db.models import Base, ChatMessage, Counter, Identity, LedgerEntry, Portfolio, Position, new_id
from db.session import Database, after_commit
from domain import accounts, plans, replies
from domain.accounts import IdentityFacts, Terms
from domain.actor import Actor, Standing
from domain.chat import Sent
from domain.replies import Replies
from domain.writing import Writer
from errors import RateLimited, ServiceUnavailable
from integrations.llm import Endpoint, Llm
from tests.conftest import TEMPLATE, _execute, on
from tests.fakes.llm_api import API_KEY, MODEL, FakeLlm, answer, fake_llm

PLANS = plans.load(None)
SECONDS = timedelta(seconds=1)
Make = Callable[[], Replies]


@pytest.fixture(scope="module")
async def database(postgres: str) -> AsyncIterator[Database]:
    """One of its own, because the application of the other tests takes whatever is queued in theirs."""
    name = f"replies_{uuid.uuid4().hex}"
    await _execute(postgres, f"create database {name} template {TEMPLATE}")
    database = Database(on(postgres, name))
    yield database
    await database.close()
    await _execute(postgres, f"drop database {name} with (force)")


@pytest.fixture
async def fake() -> AsyncIterator[FakeLlm]:
    async with fake_llm() as fake:
        yield fake


@pytest.fixture
async def make(database: Database, fake: FakeLlm) -> AsyncIterator[Make]:
    async with aclosing(Llm(Endpoint(fake.base_url, MODEL, API_KEY))) as llm:
        yield lambda: Replies(database, Writer(database, PLANS, llm))


@pytest.fixture
async def actor(database: Database) -> Actor:
    return await an_actor(database)


async def an_actor(database: Database) -> Actor:
    subject = f"user_{uuid.uuid4().hex}"
    facts = IdentityFacts(issuer="https://clerk.test", subject=subject, as_of=clock.now(), complete=False)
    async with database.transaction() as session:
        await accounts.merge(session, facts, Terms(trial_days=30, sealer=None))
        user_id = await session.scalar(select(Identity.user_id).where(Identity.subject == subject))
        assert user_id is not None
    return Actor(user_id, Standing(tier="free", trial_ends_at=None, invited=True), scopes=None)


async def ask(database: Database, actor: Actor, *wake: Replies, content: str = "Hello?", **more: UUID | None) -> Sent:
    async with database.transaction() as session:
        given: dict[str, Any] = {"conversation_id": None, "portfolio_id": None} | more
        sent = await domain.chat.send(session, PLANS, actor, content=content, **given)
        for one in wake:
            after_commit(session, one.wake)
    return sent


async def a_portfolio(database: Database, actor: Actor) -> UUID:
    now, portfolio_id = clock.now(), new_id()
    portfolio = Portfolio(
        id=portfolio_id,
        user_id=actor.user_id,
        name="Main",
        currency="USD",
        version=1,
        created_at=now,
        updated_at=now,
        position_count=1,
        cost_basis=Decimal(-900),
    )
    position = Position(
        portfolio_id=portfolio_id,
        symbol="TSLA",
        quantity=Decimal(-3),
        entry_price=Decimal(300),
        entry_date=now.date(),
        investment_class="STOCK",
    )
    async with database.transaction() as session:
        session.add(portfolio)
        await session.flush()
        session.add(position)
    return portfolio_id


async def rows(database: Database, model: type[Base], *where: Any) -> Sequence[Any]:
    async with database.transaction() as session:
        return (await session.scalars(select(model).where(*where))).all()


async def message(database: Database, sent: Sent) -> ChatMessage:
    [found] = await rows(database, ChatMessage, ChatMessage.id == sent.answer_id)
    assert isinstance(found, ChatMessage)
    return found


async def used(database: Database, actor: Actor) -> int:
    counters = await rows(database, Counter, Counter.user_id == actor.user_id)
    entries = await rows(database, LedgerEntry, LedgerEntry.user_id == actor.user_id)
    total: int = sum(counter.used for counter in counters)
    assert total == sum(entry.amount for entry in entries)
    return total


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(500):
        if await holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("that never came to be")


async def settled(database: Database, *sent: Sent) -> None:
    async def ended() -> bool:
        return all([(await message(database, one)).finished_at is not None for one in sent])

    await until(ended)


@asynccontextmanager
async def hanging(fake: FakeLlm, count: int = 1) -> AsyncIterator[None]:
    """Inside, `count` questions are with a model that says nothing."""

    async def reached() -> bool:
        return fake.at_once >= count

    fake.hanging = True
    await until(reached)
    yield


async def test_the_model_is_asked_and_the_answer_stored(
    database: Database, make: Make, fake: FakeLlm, actor: Actor
) -> None:
    fake.say = lambda messages: f"You said: {messages[-1]['content']}\0"
    async with (work := make()).running():
        first = await ask(database, actor, work, content="One?")
        await settled(database, first)
        second = await ask(database, actor, work, content="Two?", conversation_id=first.conversation_id)
        await settled(database, second)
    stored = await message(database, second)
    assert (stored.status, stored.content, stored.error) == ("COMPLETE", "You said: Two?\ufffd", None)
    assert (stored.worker, stored.leased_until) == (None, None)
    system, *said = fake.asked[-1]["messages"]
    assert system["role"] == "system"
    assert [(turn["role"], turn["content"]) for turn in said] == [
        *(("user", "One?"), ("assistant", "You said: One?\ufffd"), ("user", "Two?"))
    ]
    assert await used(database, actor) == 2


async def test_the_portfolio_is_told_to_the_model(database: Database, make: Make, fake: FakeLlm, actor: Actor) -> None:
    portfolio_id = await a_portfolio(database, actor)
    async with (work := make()).running():
        await settled(database, await ask(database, actor, work, portfolio_id=portfolio_id))
    told = fake.asked[-1]["messages"][0]["content"]
    assert told.endswith("The portfolio “Main” (USD) has 1 position. Its largest by cost: TSLA, -3 for -900.")


async def test_a_failed_answer_returns_the_unit(database: Database, make: Make, fake: FakeLlm, actor: Actor) -> None:
    fake.script.append(answer(401, {"error": {"message": "no such key"}}))
    async with (work := make()).running():
        sent = await ask(database, actor, work)
        assert await used(database, actor) == 1
        await settled(database, sent)
        stored = await message(database, sent)
        assert (stored.status, stored.content) == ("FAILED", "")
        assert stored.error == (
            "The language model gave no answer. Try again in a moment. This message does not count."
        )
        assert await used(database, actor) == 0
        again = await ask(database, actor, work, conversation_id=sent.conversation_id)
        await settled(database, again)
    assert await used(database, actor) == 1
    # What failed is not part of the conversation.
    assert [turn["role"] for turn in fake.asked[-1]["messages"]] == ["system", "user", "user"]


async def test_a_fault_of_ours_fails_one_answer_only(
    database: Database, make: Make, fake: FakeLlm, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    async with (work := make()).running():
        with monkeypatch.context() as patch:
            patch.setattr("domain.writing.turns_of", broken)
            sent = await ask(database, actor, work)
            await settled(database, sent)
        fine = await ask(database, actor, work)
        await settled(database, fine)
    assert (await message(database, sent)).error == (
        "Something went wrong on our side. Ask again. This message does not count."
    )
    assert (await message(database, fine)).status == "COMPLETE"
    assert await used(database, actor) == 1


async def test_exactly_three_of_many_at_once(database: Database, actor: Actor) -> None:
    results = await asyncio.gather(*(ask(database, actor) for _ in range(15)), return_exceptions=True)
    granted = [one for one in results if isinstance(one, Sent)]
    assert len(granted) == 3
    assert sum(isinstance(one, RateLimited) for one in results) == 12
    assert await used(database, actor) == 3
    assert len(await rows(database, ChatMessage, ChatMessage.user_id == actor.user_id)) == 6
    await finish_all(database)


async def test_a_process_writes_a_bounded_number_at_once(
    database: Database, make: Make, fake: FakeLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "AT_ONCE", 4)
    people = [await an_actor(database) for _ in range(2)]
    sent = [await ask(database, person) for person in people for _ in range(3)]
    fake.hanging = True
    async with make().running(), hanging(fake, 4):
        statuses = [(await message(database, one)).status for one in sent]
        # In the order of asking.
        assert statuses == ["STREAMING"] * 4 + ["QUEUED"] * 2
        fake.let_go()
        await settled(database, *sent)
    assert len(fake.asked) == 6


async def test_two_processes_write_each_answer_once(database: Database, make: Make, fake: FakeLlm) -> None:
    people = [await an_actor(database) for _ in range(6)]
    first, second = make(), make()
    async with first.running(), second.running():
        asked = [ask(database, person, first, second) for person in people for _ in range(2)]
        sent = await asyncio.gather(*asked)
        await settled(database, *sent)
    assert len(fake.asked) == len(sent)
    assert {(await message(database, one)).status for one in sent} == {"COMPLETE"}


async def test_what_a_dead_process_was_writing_fails_when_its_lease_is_over(
    database: Database, make: Make, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await ask(database, actor)
    await claimed_by_the_dead(database)
    monkeypatch.setattr(replies, "TICK", 0.02)
    async with make().running(), make().running():
        clock.move(29 * SECONDS)
        await asyncio.sleep(0.2)
        assert (await message(database, sent)).status == "STREAMING"
        clock.move(2 * SECONDS)
        await settled(database, sent)
    stored = await message(database, sent)
    assert (stored.status, stored.error) == (
        "FAILED",
        "The answer was interrupted. Ask again. This message does not count.",
    )
    assert await used(database, actor) == 0
    entries = await rows(database, LedgerEntry, LedgerEntry.paid_for == sent.answer_id)
    assert sorted(entry.kind for entry in entries) == ["return", "spend"]


async def test_what_nobody_takes_fails_in_time(
    database: Database, make: Make, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "TICK", 0.02)
    monkeypatch.setattr(replies, "AT_ONCE", 0)
    sent = await ask(database, actor)
    async with make().running():
        clock.move(44 * SECONDS)
        await asyncio.sleep(0.2)
        assert (await message(database, sent)).status == "QUEUED"
        clock.move(2 * SECONDS)
        await settled(database, sent)
    assert (await message(database, sent)).status == "FAILED"
    assert await used(database, actor) == 0


async def test_what_is_being_written_is_held_for_as_long_as_it_takes(
    database: Database, make: Make, fake: FakeLlm, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "TICK", 0.02)
    sent = await ask(database, actor)
    fake.hanging = True
    async with make().running(), hanging(fake):
        before = (await message(database, sent)).leased_until
        assert before is not None
        for _ in range(3):
            clock.move(20 * SECONDS)

            async def is_extended() -> bool:
                leased_until = (await message(database, sent)).leased_until
                return leased_until is not None and leased_until > clock.now() + 25 * SECONDS

            await until(is_extended)
        fake.let_go()
        await settled(database, sent)
    assert (await message(database, sent)).status == "COMPLETE"


async def test_an_answer_that_comes_after_its_lease_is_dropped(
    database: Database, make: Make, fake: FakeLlm, actor: Actor
) -> None:
    slow, other = make(), make()
    sent = await ask(database, actor)
    fake.hanging = True
    async with slow.running(), hanging(fake):
        # As after a long pause of the whole process: it could not extend.
        clock.move(31 * SECONDS)
        await other._settle_overdue()
        assert (await message(database, sent)).status == "FAILED"
        fake.let_go()
        await until(lambda: _is(not slow._writing))
    stored = await message(database, sent)
    assert (stored.status, stored.content) == ("FAILED", "")
    assert await used(database, actor) == 0


async def test_a_failure_that_comes_after_its_lease_returns_nothing_more(
    database: Database, make: Make, fake: FakeLlm, actor: Actor
) -> None:
    slow, other = make(), make()
    sent = await ask(database, actor)
    await ask(database, actor)
    fake.hanging = True
    async with slow.running(), hanging(fake, 2):
        clock.move(31 * SECONDS)
        await asyncio.gather(other._settle_overdue(), other._settle_overdue(), slow._fail(sent.answer_id, "Late."))
        fake.script.extend([answer(401)] * 2)
        fake.let_go()
        await until(lambda: _is(not slow._writing))
    assert await used(database, actor) == 0
    entries = await rows(database, LedgerEntry, LedgerEntry.user_id == actor.user_id)
    assert sorted(entry.kind for entry in entries) == ["return", "return", "spend", "spend"]


async def test_deleting_abandons_the_answer_and_returns_nothing(
    database: Database, make: Make, fake: FakeLlm, actor: Actor
) -> None:
    sent = await ask(database, actor)
    fake.hanging = True
    async with (work := make()).running(), hanging(fake):
        async with database.transaction() as session:
            await domain.chat.delete(session, actor, sent.conversation_id)
        fake.script.append(answer(401))
        fake.let_go()
        await until(lambda: _is(not work._writing))
    assert await rows(database, ChatMessage, ChatMessage.user_id == actor.user_id) == []
    assert await used(database, actor) == 1


async def test_stopping_hands_over_what_is_under_way(
    database: Database, make: Make, fake: FakeLlm, actor: Actor
) -> None:
    others = await ask(database, actor)
    await claimed_by_the_dead(database)
    sent = await ask(database, actor)
    fake.hanging = True
    async with asyncio.timeout(5), make().running(), hanging(fake):
        pass
    stored = await message(database, sent)
    assert (stored.status, stored.worker, stored.leased_until) == ("QUEUED", None, None)
    assert (await message(database, others)).status == "STREAMING"
    fake.let_go()
    async with make().running():
        await settled(database, sent)
    assert (await message(database, sent)).status == "COMPLETE"
    assert await used(database, actor) == 2
    await finish_all(database)


async def test_a_database_out_of_reach_ends_nothing(
    database: Database, make: Make, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "TICK", 0.02)

    def out_of_reach(*_: Any, **__: Any) -> None:
        raise ServiceUnavailable("The database is out of reach.")

    with monkeypatch.context() as patch:
        patch.setattr(queries.chat, "claim", out_of_reach)
        patch.setattr(queries.chat, "overdue", out_of_reach)
        work = make()
        running = work.running()
        await running.__aenter__()
        sent = await ask(database, actor, work)
        await asyncio.sleep(0.1)
        assert (await message(database, sent)).status == "QUEUED"
    await settled(database, sent)
    await running.__aexit__(None, None, None)


async def _is(holds: bool) -> bool:
    return holds


async def claimed_by_the_dead(database: Database) -> None:
    async with database.transaction() as session:
        await queries.chat.claim(session, new_id(), 100, leased_until=clock.now() + replies.LEASE)


async def finish_all(database: Database) -> None:
    clock.move(timedelta(hours=1))
    await Replies(database, Writer(database, PLANS, None))._settle_overdue()
