"""Chat: asking, renaming, deleting. How an answer is written, in the background, is in chat_replies."""

from dataclasses import dataclass
from uuid import UUID

import clock
import errors
from db import queries
from db.models import ChatMessage, ChatRole, ChatStatus, Conversation, new_id
from db.session import Session
from domain import usage
from domain.actor import Actor
from domain.decisions import Quota
from domain.plans import Plans

MAX_UNFINISHED = 3
"""Answers of one account that are queued or being written at the same time."""
MAX_TITLE = 60
"""Characters of a title that is made from a question."""
_RETRY_AFTER = 5  # seconds: most answers take no longer


@dataclass(frozen=True, slots=True)
class Sent:
    """A stored question, its queued answer, and the AI messages after it."""

    conversation_id: UUID
    question_id: UUID
    answer_id: UUID
    quota: Quota


async def send(
    session: Session,
    plans: Plans,
    actor: Actor,
    *,
    content: str,
    conversation_id: UUID | None,
    portfolio_id: UUID | None,
) -> Sent:
    """Pay for an answer and queue it behind its question; without `conversation_id` in a new conversation."""
    question_id, answer_id = new_id(), new_id()
    # Conversation, then answer, then counter: everybody locks in this order, so that nobody waits in a circle.
    conversation = await _grown(session, actor, conversation_id, content)
    # It locks the account's counter: what is counted next cannot change before the commit.
    quota = await usage.spend(session, plans, actor, "aiMessages", answer_id)
    if await queries.chat.count_unfinished(session, actor.user_id) >= MAX_UNFINISHED:
        raise errors.RateLimited(
            f"{MAX_UNFINISHED} answers are still being written. Ask again when one of them is there.", _RETRY_AFTER
        )
    if portfolio_id and not await queries.portfolios.hold(session, actor.user_id, portfolio_id):
        raise errors.NotFound("You have no such portfolio.")
    last = await queries.chat.last_position(session, conversation.id) if conversation_id else 0
    common = {"user_id": actor.user_id, "conversation_id": conversation.id, "created_at": conversation.updated_at}
    question = ChatMessage(
        **common,
        id=question_id,
        position=last + 1,
        role=ChatRole.USER,
        content=content,
        status=ChatStatus.COMPLETE,
        portfolio_id=portfolio_id,
        finished_at=conversation.updated_at,
    )
    answer = ChatMessage(
        **common, id=answer_id, position=last + 2, role=ChatRole.ASSISTANT, content="", status=ChatStatus.QUEUED
    )
    session.add_all([question, answer])
    await session.flush()
    return Sent(conversation.id, question_id, answer_id, quota)


async def rename(session: Session, actor: Actor, conversation_id: UUID, title: str) -> None:
    """Call a conversation something else."""
    conversation = await _own(session, actor, conversation_id)
    conversation.title, conversation.updated_at = title.strip(), clock.now()


async def delete(session: Session, actor: Actor, conversation_id: UUID) -> None:
    """Remove a conversation and its messages. An answer that is on its way is abandoned.

    What was paid for one that nobody writes yet is returned. Where the model is at work it is not, or asking and
    deleting would be free of charge.
    """
    await _own(session, actor, conversation_id)
    for answer in await queries.chat.unfinished_for_update(session, actor.user_id, conversation_id):
        if answer.status == ChatStatus.QUEUED:
            await usage.give_back(session, answer.id)
    await queries.chat.delete_conversation(session, conversation_id)


async def _grown(session: Session, actor: Actor, conversation_id: UUID | None, content: str) -> Conversation:
    """The conversation that is asked in, marked as of now."""
    now = clock.now()
    if conversation_id is not None:
        conversation = await _own(session, actor, conversation_id)
        conversation.updated_at = now
        return conversation
    conversation = Conversation(
        id=new_id(), user_id=actor.user_id, title=title_of(content), created_at=now, updated_at=now
    )
    session.add(conversation)
    await session.flush()
    return conversation


async def _own(session: Session, actor: Actor, conversation_id: UUID) -> Conversation:
    conversation = await queries.chat.conversation_for_update(session, actor.user_id, conversation_id)
    if conversation is None:
        raise errors.NotFound("You have no such conversation.")
    return conversation


def title_of(content: str) -> str:
    """The first words of a question, on one line."""
    words = " ".join(content.split())
    if len(words) <= MAX_TITLE:
        return words
    whole = words[:MAX_TITLE].rpartition(" ")[0]
    return (whole or words[: MAX_TITLE - 1]) + "…"
