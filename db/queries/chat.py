"""Statements of chat: reads of conversations, and the way of an answer from the queue to its end."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update

from db.models import ChatMessage, ChatStatus, Conversation
from db.queries.relation import Relation
from db.session import Bound, Read, Row, Session
from db.statements import Prepared, among, given

_CONVERSATION = (
    Conversation.id,
    Conversation.user_id,
    Conversation.title,
    Conversation.created_at,
    Conversation.updated_at,
)
_MESSAGE = (
    ChatMessage.id,
    ChatMessage.conversation_id,
    ChatMessage.position,
    ChatMessage.role,
    ChatMessage.content,
    ChatMessage.status,
    ChatMessage.error,
    ChatMessage.created_at,
    ChatMessage.finished_at,
)

CONVERSATIONS_OF_USER = Relation(
    children=select(*_CONVERSATION), key=Conversation.user_id, order_by=(Conversation.id.desc(),)
)
MESSAGES_OF_CONVERSATION = Relation(
    children=select(*_MESSAGE), key=ChatMessage.conversation_id, order_by=(ChatMessage.position, ChatMessage.id)
)


_OWN = Prepared(select(*_CONVERSATION).where(Conversation.user_id == given("user_id"), Conversation.id == among("ids")))
_OWN_MESSAGES = Prepared(
    select(*_MESSAGE).where(ChatMessage.user_id == given("user_id"), ChatMessage.id == among("ids"))
)


def conversations(user_id: UUID, conversation_ids: Collection[UUID]) -> Bound:
    """Those of these conversations that are this user's, in no order."""
    return _OWN(user_id=user_id, ids=list(conversation_ids))


def messages(user_id: UUID, message_ids: Collection[UUID]) -> Bound:
    """Those of these messages that are this user's, in no order."""
    return _OWN_MESSAGES(user_id=user_id, ids=list(message_ids))


def before(user_id: UUID, conversation_id: UUID, position: int, limit: int) -> Read:
    """The last whole messages of a conversation of this user before a position, the newest first."""
    return (
        select(ChatMessage.position, ChatMessage.role, ChatMessage.content, ChatMessage.portfolio_id)
        .where(
            ChatMessage.user_id == user_id,
            ChatMessage.conversation_id == conversation_id,
            ChatMessage.position < position,
            ChatMessage.status == ChatStatus.COMPLETE,
        )
        .order_by(ChatMessage.position.desc())
        .limit(limit)
    )


async def conversation_for_update(session: Session, user_id: UUID, conversation_id: UUID) -> Conversation | None:
    """A conversation of this user, locked until the transaction ends, so that it grows by one question at a time."""
    statement = select(Conversation).where(Conversation.user_id == user_id, Conversation.id == conversation_id)
    return await session.scalar(statement.with_for_update())


async def count_unfinished(session: Session, user_id: UUID) -> int:
    """How many answers of this user are queued or being written."""
    statement = select(func.count()).where(ChatMessage.user_id == user_id, ChatMessage.finished_at.is_(None))
    return await session.scalar(statement) or 0


async def last_position(session: Session, conversation_id: UUID) -> int:
    """The position of the newest message; 0 where there is none."""
    newest = select(func.max(ChatMessage.position)).where(ChatMessage.conversation_id == conversation_id)
    return await session.scalar(newest) or 0


async def unfinished_for_update(session: Session, user_id: UUID, conversation_id: UUID) -> Sequence[Row]:
    """The answers of a conversation that are queued or being written, locked: nobody takes or settles them."""
    statement = (
        select(ChatMessage.id, ChatMessage.status)
        .where(
            ChatMessage.user_id == user_id,
            ChatMessage.conversation_id == conversation_id,
            ChatMessage.finished_at.is_(None),
        )
        .order_by(ChatMessage.id)
        .with_for_update()
    )
    return (await session.execute(statement)).all()


async def delete_conversation(session: Session, conversation_id: UUID) -> None:
    """Remove a conversation that the caller has locked, with its messages."""
    await session.execute(delete(ChatMessage).where(ChatMessage.conversation_id == conversation_id))
    await session.execute(delete(Conversation).where(Conversation.id == conversation_id))


async def claim(session: Session, worker: UUID, limit: int, *, leased_until: datetime) -> Sequence[Row]:
    """Take the oldest queued answers that nobody else is taking; they are this worker's while the lease runs."""
    queued = and_(ChatMessage.status == ChatStatus.QUEUED, ChatMessage.finished_at.is_(None))
    statement = (
        update(ChatMessage)
        .where(_among_free(queued, limit))
        .values(status=ChatStatus.STREAMING, worker=worker, leased_until=leased_until)
        .returning(ChatMessage.id, ChatMessage.user_id, ChatMessage.conversation_id, ChatMessage.position)
    )
    return (await session.execute(statement)).all()


async def extend(session: Session, worker: UUID, answer_ids: Collection[UUID], leased_until: datetime) -> None:
    """Go on holding those of these answers that this worker still holds."""
    held = and_(ChatMessage.id.in_(answer_ids), _held(worker))
    await session.execute(update(ChatMessage).where(_among_free(held)).values(leased_until=leased_until))


def held(worker: UUID) -> Read:
    """The answers that this worker holds."""
    return select(ChatMessage.id).where(_held(worker))


async def release(session: Session, worker: UUID) -> None:
    """Put back into the queue whatever this worker holds."""
    values = {"status": ChatStatus.QUEUED, "worker": None, "leased_until": None}
    await session.execute(update(ChatMessage).where(_among_free(_held(worker))).values(values))


def overdue(now: datetime, *, queued_before: datetime) -> Read:
    """Answers that nobody is going to write: the lease ran out, or nobody took them in time."""
    return select(ChatMessage.id).where(_overdue(now, queued_before)).order_by(ChatMessage.id).limit(1000)


async def complete(session: Session, answer_id: UUID, worker: UUID, content: str, now: datetime) -> bool:
    """Store an answer; False, and nothing stored, when it is not this worker's any more."""
    return await _finish(
        session, and_(ChatMessage.id == answer_id, _held(worker)), ChatStatus.COMPLETE, now, content=content
    )


async def fail(session: Session, answer_id: UUID, worker: UUID, error: str, now: datetime) -> bool:
    """Mark an answer as failed; False, and nothing changed, when it is not this worker's any more."""
    return await _finish(session, and_(ChatMessage.id == answer_id, _held(worker)), ChatStatus.FAILED, now, error=error)


async def fail_overdue(
    session: Session, answer_id: UUID, error: str, now: datetime, *, queued_before: datetime
) -> bool:
    """Mark an answer as failed if it is overdue; False, and nothing changed, when it is not."""
    is_overdue = and_(ChatMessage.id == answer_id, _overdue(now, queued_before))
    return await _finish(session, is_overdue, ChatStatus.FAILED, now, error=error)


def _held(worker: UUID) -> ColumnElement[bool]:
    return and_(ChatMessage.worker == worker, ChatMessage.finished_at.is_(None))


def _among_free(which: ColumnElement[bool], limit: int | None = None) -> ColumnElement[bool]:
    """The oldest of these answers, without those that another transaction has locked: nobody is waited for."""
    free = select(ChatMessage.id).where(which).order_by(ChatMessage.id).limit(limit).with_for_update(skip_locked=True)
    # Apart, because a subquery may be run more than once, and would take more than `limit`.
    return ChatMessage.id.in_(select(free.cte("free").c.id))


def _overdue(now: datetime, queued_before: datetime) -> ColumnElement[bool]:
    nobodys = and_(ChatMessage.status == ChatStatus.QUEUED, ChatMessage.created_at < queued_before)
    return and_(ChatMessage.finished_at.is_(None), or_(nobodys, ChatMessage.leased_until < now))


async def _finish(
    session: Session, which: ColumnElement[bool], status: ChatStatus, now: datetime, **values: str
) -> bool:
    ended = {"status": status, "worker": None, "leased_until": None, "finished_at": now}
    statement = update(ChatMessage).where(which).values(ended | values).returning(ChatMessage.id)
    return await session.scalar(statement) is not None
