"""The way of an answer from the queue to its end, with a fake language model: settled once, however it goes."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

import clock
import domain
from db import queries
from db.models import Base, ChatMessage, Counter, Identity, LedgerEntry, Portfolio, Position, User, new_id
from db.session import Database, after_commit
from domain import accounts, chat_replies, plans, usage
from domain.accounts import IdentityFacts, Terms
from domain.actor import Actor, Standing
from domain.chat import Sent
from domain.chat_replies import Replies
from domain.chat_writing import Writer
from errors import RateLimited, ServiceUnavailable, UpstreamFailed
from integrations.llm import Llm
from integrations.llm_terms import Endpoint
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


async def delete(database: Database, actor: Actor, sent: Sent) -> None:
    async with database.transaction() as session:
        await domain.chat.delete(session, actor, sent.conversation_id)


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
        position_count=2,
        cost_basis=Decimal(9100),
    )
    common = {"portfolio_id": portfolio_id, "entry_date": now.date(), "investment_class": "STOCK"}
    short = Position(**common, symbol="TSLA", quantity=Decimal(-3), entry_price=Decimal(300))
    sold = Position(**common, symbol="SOLD", quantity=Decimal(100), entry_price=Decimal(100))
    sold.exit_date, sold.exit_price = now.date(), Decimal(101)
    async with database.transaction() as session:
        session.add(portfolio)
        await session.flush()
        session.add_all([short, sold])
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
    assert told.endswith(
        "The portfolio “Main” (USD) has 2 positions. Its largest open positions by cost: TSLA, -3 for -900."
    )


async def test_offline_the_portfolio_is_told_to_the_person(database: Database, actor: Actor) -> None:
    portfolio_id = await a_portfolio(database, actor)
    async with (work := Replies(database, Writer(database, PLANS, None))).running():
        sent = await ask(database, actor, work, content="My largest positions?")
        about = await ask(database, actor, work, portfolio_id=portfolio_id)
        await settled(database, sent, about)
    for one in (sent, about):
        assert (await message(database, one)).content.endswith(
            "has 2 positions. Its largest open positions by cost: TSLA, -3 for -900."
        )


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
            patch.setattr("domain.chat_writing.turns_of", broken)
            sent = await ask(database, actor, work)
            await settled(database, sent)
        fine = await ask(database, actor, work)
        await settled(database, fine)
    assert (await message(database, sent)).error == (
        "Something went wrong on our side. Ask again. This message does not count."
    )
    assert (await message(database, fine)).status == "COMPLETE"
    assert await used(database, actor) == 1


@pytest.mark.parametrize("shut_out", ["disabled_at", "deleted_at"])
async def test_for_an_account_that_is_shut_out_no_model_is_asked(
    shut_out: str, database: Database, make: Make, fake: FakeLlm, actor: Actor
) -> None:
    sent = await ask(database, actor)
    async with database.transaction() as session:
        await session.execute(update(User).where(User.id == actor.user_id).values({shut_out: clock.now()}))
    async with make().running():
        await settled(database, sent)
    assert (await message(database, sent)).status == "FAILED"
    assert fake.asked == []
    assert await used(database, actor) == 0


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
    monkeypatch.setattr(chat_replies, "AT_ONCE", 4)
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
    monkeypatch.setattr(chat_replies, "TICK", 0.02)
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
    monkeypatch.setattr(chat_replies, "TICK", 0.02)
    monkeypatch.setattr(chat_replies, "AT_ONCE", 0)
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
    monkeypatch.setattr(chat_replies, "TICK", 0.02)
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


async def test_leases_and_the_queue_do_not_wait_for_the_settling(
    database: Database, make: Make, fake: FakeLlm, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_replies, "TICK", 0.02)
    monkeypatch.setattr(Replies, "_settle_overdue", lambda _: asyncio.Event().wait())
    sent = await ask(database, actor)
    async with make().running(), hanging(fake):
        clock.move(20 * SECONDS)

        async def is_extended() -> bool:
            leased_until = (await message(database, sent)).leased_until
            return leased_until is not None and leased_until > clock.now() + 25 * SECONDS

        await until(is_extended)
        elsewhere = await ask(database, actor)
        await until(lambda: _is(fake.at_once == 2))
        fake.let_go()
        await settled(database, sent, elsewhere)


async def test_an_answer_that_is_locked_holds_up_no_other_lease(
    database: Database, make: Make, fake: FakeLlm, actor: Actor
) -> None:
    locked, other = [await ask(database, actor) for _ in range(2)]
    async with (work := make()).running(), hanging(fake, 2):
        clock.move(10 * SECONDS)
        async with database.transaction() as session:
            await queries.chat.unfinished_for_update(session, actor.user_id, locked.conversation_id)
            async with asyncio.timeout(5):
                await work._extend()
        leases = [(await message(database, one)).leased_until for one in (locked, other)]
        assert [lease and lease > clock.now() + 25 * SECONDS for lease in leases] == [False, True]
        fake.let_go()
        await settled(database, locked, other)


async def test_one_that_cannot_be_settled_holds_up_no_other(
    database: Database, make: Make, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, other = [await ask(database, actor) for _ in range(2)]
    await claimed_by_the_dead(database)
    clock.move(31 * SECONDS)
    fail_overdue = queries.chat.fail_overdue

    async def fail(session: Any, answer_id: UUID, *given: Any, **more: Any) -> bool:
        if answer_id == locked.answer_id:
            raise ServiceUnavailable("The database could not answer in time.")
        return await fail_overdue(session, answer_id, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(queries.chat, "fail_overdue", fail)
        await make()._settle_overdue()
    assert [(await message(database, one)).status for one in (locked, other)] == ["STREAMING", "FAILED"]
    await finish_all(database)
    assert await used(database, actor) == 0


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
        await delete(database, actor, sent)
        fake.script.append(answer(401))
        fake.let_go()
        await until(lambda: _is(not work._writing))
    assert await rows(database, ChatMessage, ChatMessage.user_id == actor.user_id) == []
    assert await used(database, actor) == 1


async def test_what_was_deleted_is_not_written_to_the_end(
    database: Database, make: Make, fake: FakeLlm, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else asking and deleting would fill every place there is for writing."""
    monkeypatch.setattr(chat_replies, "TICK", 0.02)
    sent, kept = await ask(database, actor), await ask(database, actor)
    fake.hanging = True
    async with (work := make()).running(), hanging(fake):
        await until(lambda: _is(len(work._writing) == 2))
        await delete(database, actor, sent)
        await until(lambda: _is(list(work._writing) == [kept.answer_id]))
        fake.let_go()
        await until(lambda: _is(not work._writing))
    [written] = await rows(database, ChatMessage, ChatMessage.id == kept.answer_id)
    assert written.status == "COMPLETE"


async def test_deleting_returns_what_nobody_takes_and_keeps_what_is_being_written(
    database: Database, make: Make, fake: FakeLlm, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_replies, "AT_ONCE", 1)
    first = await ask(database, actor)
    second = await ask(database, actor, conversation_id=first.conversation_id)
    fake.hanging = True
    async with make().running(), hanging(fake):
        await delete(database, actor, first)
        entries = await rows(database, LedgerEntry, LedgerEntry.user_id == actor.user_id, LedgerEntry.kind == "return")
        assert [entry.paid_for for entry in entries] == [second.answer_id]
        fake.let_go()
    assert await used(database, actor) == 1
    assert len(fake.asked) == 1


async def test_an_answer_that_is_taken_during_its_deletion_is_paid_for(database: Database, actor: Actor) -> None:
    sent = await ask(database, actor)
    async with database.transaction() as session:
        [taken] = await queries.chat.claim(session, new_id(), 100, leased_until=clock.now() + chat_replies.LEASE)
        assert taken.id == sent.answer_id
        deleting = asyncio.create_task(delete(database, actor, sent))
        await until(lambda: waiting(database, 1))
    await deleting
    assert await used(database, actor) == 1


async def test_an_answer_that_is_being_deleted_is_not_taken(database: Database, make: Make, actor: Actor) -> None:
    sent = await ask(database, actor)
    work = make()
    async with database.transaction() as session:
        await domain.chat.delete(session, actor, sent.conversation_id)
        await work._take()
        assert not work._writing
    assert await used(database, actor) == 0


async def test_failing_and_deleting_do_not_wait_for_each_other(database: Database, make: Make, actor: Actor) -> None:
    sent = await ask(database, actor)
    clock.move(46 * SECONDS)
    async with counter_held(database, actor):
        failing = asyncio.create_task(make()._settle_overdue())
        await until(lambda: waiting(database, 1))
        deleting = asyncio.create_task(delete(database, actor, sent))
        await until(lambda: waiting(database, 2))
    await asyncio.gather(failing, deleting)
    assert await used(database, actor) == 1


async def test_asking_and_deleting_do_not_wait_for_each_other(database: Database, actor: Actor) -> None:
    sent = await ask(database, actor)
    async with counter_held(database, actor):
        asking = asyncio.create_task(ask(database, actor, conversation_id=sent.conversation_id))
        await until(lambda: waiting(database, 1))
        deleting = asyncio.create_task(delete(database, actor, sent))
        await until(lambda: waiting(database, 2))
    await asyncio.gather(asking, deleting)
    assert await used(database, actor) == 1


async def test_asking_failing_and_deleting_at_once_wait_in_no_circle(
    database: Database, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Writer):
        async def write(self, answer: Any) -> str:
            raise UpstreamFailed("Broken.")

    async def churn(conversation_id: UUID) -> None:
        for _ in range(12):
            with contextlib.suppress(RateLimited):
                await ask(database, actor, *work, conversation_id=conversation_id)

    async def come_and_go() -> None:
        for _ in range(12):
            with contextlib.suppress(RateLimited):
                sent = await ask(database, actor, *work)
                with contextlib.suppress(RateLimited):
                    await ask(database, actor, *work, conversation_id=sent.conversation_id)
                await delete(database, actor, sent)

    monkeypatch.setattr(chat_replies, "TICK", 0.01)
    monkeypatch.setattr(chat_replies, "MAX_QUEUED", timedelta())
    work = [Replies(database, Broken(database, PLANS, None)) for _ in range(2)]
    kept = (await ask(database, actor)).conversation_id
    with capture_logs() as logged:
        async with work[0].running(), work[1].running():
            await asyncio.gather(*(churn(kept) for _ in range(3)), *(come_and_go() for _ in range(4)))
            await until(lambda: nothing_is_unfinished(database))
    assert {entry["event"] for entry in logged} <= {"replies.overdue"}
    entries = await rows(database, LedgerEntry, LedgerEntry.user_id == actor.user_id)
    failed = await rows(database, ChatMessage, ChatMessage.user_id == actor.user_id, ChatMessage.status == "FAILED")
    returned = {entry.paid_for for entry in entries if entry.kind == "return"}
    assert {one.id for one in failed} <= returned
    await used(database, actor)


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
    monkeypatch.setattr(chat_replies, "TICK", 0.02)

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


@asynccontextmanager
async def counter_held(database: Database, actor: Actor) -> AsyncIterator[None]:
    """Inside, nobody else can spend or give back; one is spent."""
    async with database.transaction() as session:
        await usage.spend(session, PLANS, actor, "aiMessages", new_id())
        yield


async def waiting(database: Database, count: int) -> bool:
    """Whether so many transactions wait for a lock."""
    async with database.transaction() as session:
        locked = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        return bool(await session.scalar(text(locked)) == count)


async def nothing_is_unfinished(database: Database) -> bool:
    return not await rows(database, ChatMessage, ChatMessage.finished_at.is_(None))


async def claimed_by_the_dead(database: Database) -> None:
    async with database.transaction() as session:
        await queries.chat.claim(session, new_id(), 100, leased_until=clock.now() + chat_replies.LEASE)


async def finish_all(database: Database) -> None:
    clock.move(timedelta(hours=1))
    await Replies(database, Writer(database, PLANS, None))._settle_overdue()
