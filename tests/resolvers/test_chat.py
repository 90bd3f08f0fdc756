"""Asking, reading, renaming and deleting; the offline assistant answers. How it comes to that: test_chat_replies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

import clock
from db.models import ChatMessage, Conversation, Counter, LedgerEntry
from db.session import Database
from domain import plans, usage
from domain.actor import Actor, Standing
from domain.chat import MAX_UNFINISHED, title_of
from domain.chat_assistant import LABEL
from schema import ids
from tests.gql import Asker, Gql
from tests.people import People, Person
from tests.refusals import NOT_A_SESSION, refused, stored

MESSAGE = "id role content status error createdAt finishedAt"
SEND = f"""mutation($input: SendChatMessageInput!) {{
  sendChatMessage(input: $input) {{
    conversation {{ id title createdAt updatedAt }}
    message {{ {MESSAGE} }}
    answer {{ {MESSAGE} }}
    quota {{ feature used limit remaining resetsAt }}
  }}
}}"""
RENAME = (
    "mutation($input: RenameConversationInput!)"
    " { renameConversation(input: $input) { conversation { id title updatedAt } } }"
)
DELETE = "mutation($input: DeleteConversationInput!) { deleteConversation(input: $input) { deletedId } }"
NODE = (
    f"query($id: ID!) {{ node(id: $id) {{ id ... on ChatMessage {{ {MESSAGE} }} ... on Conversation {{ title }} }} }}"
)
LIST = """query($first: Int, $after: String) {
  conversations(first: $first, after: $after) {
    totalCount
    pageInfo { hasNextPage endCursor }
    edges { node { id title messages(first: 3) { totalCount edges { node { role content } } } } }
  }
}"""
CREATE_PORTFOLIO = "mutation($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { id } } }"

Rows = Callable[..., Awaitable[Sequence[Any]]]


@pytest.fixture(autouse=True)
async def _nothing_is_left_to_write(rows: Rows) -> AsyncIterator[None]:
    """What is written behind a test must not be written during the next one, which may look at every table."""
    yield
    clock.reset()
    for _ in range(500):
        if not await rows(ChatMessage, ChatMessage.finished_at.is_(None)):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("an answer was never written")


async def sent(gql: Gql, who: Asker, content: str = "What is my plan?", **more: Any) -> dict[str, Any]:
    answer = await gql(who, SEND, input={"content": content, **more})
    assert not answer.errors, answer.errors
    return dict(answer.data["sendChatMessage"])


async def ended(gql: Gql, who: Asker, message_id: str) -> dict[str, Any]:
    """An answer when it has come to its end."""
    for _ in range(500):
        message = (await gql(who, NODE, id=message_id)).data["node"]
        if message["finishedAt"]:
            return dict(message)
        await asyncio.sleep(0.02)
    raise AssertionError("it was never written")


async def used(rows: Rows, person: Person) -> int:
    """AI messages that were spent, by the counter and by the ledger."""
    counters = await rows(Counter, Counter.user_id == person.user_id, Counter.feature == "aiMessages")
    entries = await rows(LedgerEntry, LedgerEntry.user_id == person.user_id, LedgerEntry.feature == "aiMessages")
    total: int = sum(counter.used for counter in counters)
    assert total == sum(entry.amount for entry in entries)
    return total


@pytest.mark.parametrize("who", [*NOT_A_SESSION, "uninvited"])
@pytest.mark.parametrize("document", [SEND, RENAME, DELETE])
async def test_writing_is_refused(who: str, document: str, gql: Gql, make: People, database: Database) -> None:
    somebodys = await sent(gql, owner := await make.person())
    await ended(gql, owner, somebodys["answer"]["id"])
    asker = await make.person(invited=False) if who == "uninvited" else await refused(make, who)
    given = {
        SEND: {"content": "Hello?"},
        RENAME: {"id": somebodys["conversation"]["id"], "title": "Mine"},
        DELETE: {"id": somebodys["conversation"]["id"]},
    }[document]
    before = await stored(database)
    answer = await gql(asker, document, input=given)
    assert (answer.status, answer.code, answer.data) == (
        200,
        (NOT_A_SESSION | {"uninvited": "INVITE_REQUIRED"})[who],
        None,
    )
    assert await stored(database) == before


@pytest.mark.parametrize("who", NOT_A_SESSION)
async def test_reading_is_refused(who: str, gql: Gql, make: People) -> None:
    answer = await gql(await refused(make, who), LIST)
    assert (answer.code, answer.data) == (NOT_A_SESSION[who], None)


async def test_a_key_finds_no_conversation_of_its_owner(gql: Gql, make: People) -> None:
    person = await make.person()
    made = await sent(gql, person)
    key = await make.key(person, "account:read")
    for found in (made["conversation"], made["message"], made["answer"]):
        answer = await gql(key, NODE, id=found["id"])
        assert (answer.code, answer.data) == ("NOT_FOUND", {"node": None})


async def test_what_is_anothers_is_not_found(gql: Gql, make: People, database: Database) -> None:
    owner, person = await make.person(), await make.person()
    made = await sent(gql, owner)
    await ended(gql, owner, made["answer"]["id"])
    before = await stored(database)
    conversation = made["conversation"]["id"]
    for answer in (
        await gql(person, SEND, input={"content": "Hello?", "conversationId": conversation}),
        await gql(person, RENAME, input={"id": conversation, "title": "Mine"}),
        await gql(person, DELETE, input={"id": conversation}),
    ):
        assert (answer.code, answer.data) == ("NOT_FOUND", None)
    for found in (made["conversation"], made["message"], made["answer"]):
        assert (await gql(person, NODE, id=found["id"])).code == "NOT_FOUND"
    assert (await gql(person, LIST)).data["conversations"]["totalCount"] == 0
    assert await stored(database) == before


async def test_asking_stores_the_question_and_queues_the_answer(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    made = await sent(gql, person, "What is\nmy plan?")
    assert made["conversation"]["title"] == "What is my plan?"
    question, answer = made["message"], made["answer"]
    assert (question["role"], question["content"], question["status"]) == ("USER", "What is\nmy plan?", "COMPLETE")
    assert (answer["role"], answer["error"]) == ("ASSISTANT", None)
    assert answer["status"] in ("QUEUED", "STREAMING", "COMPLETE")
    month = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    resets_at = (month + timedelta(days=32)).replace(day=1).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert made["quota"] == {"feature": "aiMessages", "used": 1, "limit": 100, "remaining": 99, "resetsAt": resets_at}
    [spend] = await rows(LedgerEntry, LedgerEntry.user_id == person.user_id)
    assert ids.encode("ChatMessage", spend.paid_for) == answer["id"]

    written = await ended(gql, person, answer["id"])
    assert (written["status"], written["error"]) == ("COMPLETE", None)
    assert written["content"].startswith(f"{LABEL}Your plan is Free.")
    assert await used(rows, person) == 1


async def test_the_offline_assistant_answers_from_the_callers_own_data(gql: Gql, make: People) -> None:
    person, other = await make.person(), await make.person()
    for who, name in ((person, "Retirement"), (other, "Of somebody else")):
        made = await gql(who, CREATE_PORTFOLIO, input={"name": name, "currency": "USD"})
        assert not made.errors, made.errors
    listed = await sent(gql, person, "Which portfolios do I have, and how much is used?")
    written = await ended(gql, person, listed["answer"]["id"])
    assert "You have 1 of 2 portfolios." in written["content"]
    assert "You have used 1 of 100 AI messages this month." in written["content"]
    assert "“Retirement” (USD) has 0 positions." in written["content"]
    assert "somebody" not in written["content"]

    portfolio_id = (await gql(person, "{ portfolios { edges { node { id } } } }")).data["portfolios"]["edges"][0]
    about = await sent(gql, person, "How is it?", portfolioId=portfolio_id["node"]["id"])
    written = await ended(gql, person, about["answer"]["id"])
    assert written["content"] == f"{LABEL}The portfolio “Retirement” (USD) has 0 positions."


async def test_going_on_with_a_conversation(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    first = await sent(gql, person)
    clock.move(timedelta(seconds=1))
    second = await sent(gql, person, "And my usage?", conversationId=first["conversation"]["id"])
    assert second["conversation"]["id"] == first["conversation"]["id"]
    assert second["conversation"]["title"] == first["conversation"]["title"]
    assert second["conversation"]["updatedAt"] > first["conversation"]["updatedAt"]
    [conversation] = await rows(Conversation, Conversation.user_id == person.user_id)
    messages = await rows(ChatMessage, ChatMessage.conversation_id == conversation.id)
    assert sorted((one.position, one.role) for one in messages) == [
        *((1, "USER"), (2, "ASSISTANT"), (3, "USER"), (4, "ASSISTANT"))
    ]


async def test_conversations_newest_first_with_their_messages(gql: Gql, make: People, statements: list[str]) -> None:
    person = await make.person(tier="paid")
    for number in range(3):
        made = await sent(gql, person, f"Question {number}")
        await ended(gql, person, made["answer"]["id"])
        again = await sent(gql, person, "More", conversationId=made["conversation"]["id"])
        await ended(gql, person, again["answer"]["id"])
    statements.clear()
    page = (await gql(person, LIST, first=2)).data["conversations"]
    assert len(statements) <= 5  # who asks, a page, a count, pages and counts of messages
    assert [edge["node"]["title"] for edge in page["edges"]] == ["Question 2", "Question 1"]
    assert page["totalCount"] == 3
    messages = page["edges"][0]["node"]["messages"]
    assert messages["totalCount"] == 4
    assert [edge["node"]["role"] for edge in messages["edges"]] == ["USER", "ASSISTANT", "USER"]
    assert messages["edges"][0]["node"]["content"] == "Question 2"
    rest = (await gql(person, LIST, first=2, after=page["pageInfo"]["endCursor"])).data["conversations"]
    assert [edge["node"]["title"] for edge in rest["edges"]] == ["Question 0"]
    assert rest["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"content": ""}, {"input.content": "Not empty."}),
        ({"content": " \n\u200b"}, {"input.content": "Not empty."}),
        ({"content": "a" * 8001}, {"input.content": "At most 8000 characters."}),
        ({"content": "a\rb"}, {"input.content": "No control characters but line breaks and tabs."}),
        ({"content": "a\x1b[31m"}, {"input.content": "No control characters but line breaks and tabs."}),
        ({"conversationId": "x"}, {"input.conversationId": "Not an id of this API."}),
        (
            {"content": "\x07" + "a" * 8000, "conversationId": "", "portfolioId": "A" * 5000, "idempotencyKey": ""},
            {
                "input.idempotencyKey": "1 to 255 characters without control characters.",
                "input.content": "No control characters but line breaks and tabs.",
                "input.conversationId": "Not an id of this API.",
                "input.portfolioId": "Not an id of this API.",
            },
        ),
        ({"content": None}, None),
        ({"content": 5}, None),
        ({"more": 5}, None),
    ],
)
async def test_bad_questions(
    given: dict[str, Any], faults: dict[str, str] | None, gql: Gql, make: People, database: Database
) -> None:
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, SEND, input={"content": "Hello?"} | given)
    assert answer.code == "BAD_USER_INPUT"
    assert faults is None or faults.items() <= answer.fields.items()
    assert await stored(database) == before


async def test_as_long_as_it_may_be(gql: Gql, make: People) -> None:
    made = await sent(gql, await make.person(), "😀\r\n\t" + "a" * 7996)
    assert made["message"]["content"] == "😀\r\n\t" + "a" * 7996


@pytest.mark.parametrize("field", ["conversationId", "portfolioId"])
@pytest.mark.parametrize("type_name", ["Conversation", "Portfolio", "User", "Nothing"])
async def test_ids_that_lead_nowhere(field: str, type_name: str, gql: Gql, make: People, database: Database) -> None:
    person = await make.person()
    before = await stored(database)
    answer = await gql(person, SEND, input={"content": "Hello?", field: ids.encode(type_name, person.user_id)})
    assert (answer.code, answer.data) == ("NOT_FOUND", None)
    assert await stored(database) == before


async def test_anothers_portfolio_is_not_found(gql: Gql, make: People, database: Database) -> None:
    made = await gql(await make.person(), CREATE_PORTFOLIO, input={"name": "Theirs", "currency": "USD"})
    person = await make.person()
    before = await stored(database)
    portfolio_id = made.data["createPortfolio"]["portfolio"]["id"]
    answer = await gql(person, SEND, input={"content": "Hello?", "portfolioId": portfolio_id})
    assert (answer.code, answer.data) == ("NOT_FOUND", None)
    assert await stored(database) == before


@pytest.mark.parametrize(
    ("title", "fault"),
    [("", "Not empty."), ("a" * 201, "At most 200 characters."), ("a\nb", "No control characters.")],
)
async def test_bad_titles(title: str, fault: str, gql: Gql, make: People) -> None:
    person = await make.person()
    made = await sent(gql, person)
    answer = await gql(person, RENAME, input={"id": made["conversation"]["id"], "title": title})
    assert (answer.code, answer.fields) == ("BAD_USER_INPUT", {"input.title": fault})


async def test_renaming(gql: Gql, make: People) -> None:
    person = await make.person()
    made = await sent(gql, person)
    clock.move(timedelta(seconds=1))
    answer = await gql(person, RENAME, input={"id": made["conversation"]["id"], "title": " My plan "})
    renamed = answer.data["renameConversation"]["conversation"]
    assert (renamed["id"], renamed["title"]) == (made["conversation"]["id"], "My plan")
    assert renamed["updatedAt"] > made["conversation"]["updatedAt"]


async def test_deleting_removes_the_messages_and_returns_nothing(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    made, other = await sent(gql, person), await sent(gql, person)
    assert await ended(gql, person, made["answer"]["id"])
    answer = await gql(person, DELETE, input={"id": made["conversation"]["id"], "idempotencyKey": "once"})
    assert answer.data["deleteConversation"] == {"deletedId": made["conversation"]["id"]}
    for found in (made["conversation"], made["message"], made["answer"]):
        assert (await gql(person, NODE, id=found["id"])).code == "NOT_FOUND"
    assert await ended(gql, person, other["answer"]["id"])
    assert await used(rows, person) == 2
    assert len(await rows(ChatMessage, ChatMessage.user_id == person.user_id)) == 2
    again = await gql(person, DELETE, input={"id": made["conversation"]["id"], "idempotencyKey": "once"})
    assert again.data == answer.data
    assert (await gql(person, DELETE, input={"id": made["conversation"]["id"]})).code == "NOT_FOUND"


@pytest.mark.usefixtures("nobody_answers")
async def test_deleting_returns_what_nobody_has_begun_to_write(gql: Gql, make: People, rows: Rows) -> None:
    person = await make.person()
    made = await sent(gql, person)
    other = await sent(gql, person)
    again = await sent(gql, person, conversationId=made["conversation"]["id"])
    assert await used(rows, person) == 3
    assert not (await gql(person, DELETE, input={"id": made["conversation"]["id"]})).errors
    assert await used(rows, person) == 1
    returned = await rows(LedgerEntry, LedgerEntry.user_id == person.user_id, LedgerEntry.kind == "return")
    paid_for = {ids.encode("ChatMessage", entry.paid_for) for entry in returned}
    assert paid_for == {made["answer"]["id"], again["answer"]["id"]}
    assert (await gql(person, NODE, id=other["answer"]["id"])).data["node"]["status"] == "QUEUED"


async def held(database: Database, person: Person, *, until: datetime | None) -> None:
    """Make this person's answers look as if somebody else were writing them, or as if that were done (`until` None)."""
    being_written = {"status": "STREAMING", "finished_at": None, "worker": UUID(int=1), "leased_until": until}
    written = {"status": "COMPLETE", "finished_at": clock.now(), "worker": None, "leased_until": None}
    answers = update(ChatMessage).where(ChatMessage.user_id == person.user_id, ChatMessage.role == "ASSISTANT")
    async with database.transaction() as session:
        await session.execute(answers.values(being_written if until else written))


async def test_no_more_than_three_are_written_at_once(gql: Gql, make: People, rows: Rows, database: Database) -> None:
    person = await make.person()
    for _ in range(MAX_UNFINISHED):
        await ended(gql, person, (await sent(gql, person))["answer"]["id"])
    await held(database, person, until=clock.now() + timedelta(hours=1))
    before = await stored(database)
    answer = await gql(person, SEND, input={"content": "Hello?"})
    assert (answer.code, answer.data) == ("RATE_LIMITED", None)
    assert answer.errors[0]["extensions"]["retryAfter"] == 5
    assert await stored(database) == before
    await held(database, person, until=None)
    await sent(gql, person)
    assert await used(rows, person) == 4


async def test_the_last_one_is_granted_once_and_its_retry_gets_it(
    gql: Gql, make: People, rows: Rows, database: Database
) -> None:
    person = await make.person()
    actor = Actor(person.user_id, Standing(tier="free", trial_ends_at=None, invited=True), scopes=None)
    async with database.transaction() as session:
        await usage.adjust(session, plans.load(None), actor, "aiMessages", 99, reason="test")
    last = {"content": "Is this the last?", "idempotencyKey": "last"}
    first = await gql(person, SEND, input=last)
    assert first.data["sendChatMessage"]["quota"]["remaining"] == 0
    written = await ended(gql, person, first.data["sendChatMessage"]["answer"]["id"])

    refusal = await gql(person, SEND, input={"content": "One more?"})
    assert refusal.code == "TIER_LIMIT_REACHED"
    extensions = refusal.errors[0]["extensions"]
    assert (extensions["feature"], extensions["used"], extensions["limit"]) == ("aiMessages", 100, 100)
    assert {remedy["kind"] for remedy in extensions["remedies"]} == {"UPGRADE", "WAIT"}

    again = (await gql(person, SEND, input=last)).data["sendChatMessage"]
    assert again["quota"] == first.data["sendChatMessage"]["quota"]
    assert again["answer"] == written
    assert (await gql(person, SEND, input=last | {"content": "Another?"})).code == "IDEMPOTENCY_KEY_REUSED"
    assert await used(rows, person) == 100
    assert len(await rows(ChatMessage, ChatMessage.user_id == person.user_id)) == 2


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Hello?", "Hello?"),
        (" What\n is  this? ", "What is this?"),
        ("a" * 60, "a" * 60),
        ("a" * 61, "a" * 59 + "…"),
        ("word " * 50, "word " * 11 + "word…"),
    ],
)
def test_titles_are_first_words(content: str, title: str) -> None:
    assert title_of(content) == title
