"""Chat as clients see it: conversations, their messages, and the inputs and payloads of their mutations."""

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from db import queries
from db.models import ChatRole, ChatStatus
from db.queries.paging import Listing
from engine import sql
from errors import Faults
from schema import ids
from schema.context import Info
from schema.entitlements import QuotaPayload
from schema.enums import describe
from schema.inputs import MutationInput, check_lines, check_text, is_visible
from schema.node import Node
from schema.pagination import After, Before, Connection, First, Last, Page, connect
from schema.payloads import Payload

MAX_CONTENT = 8_000
MAX_TITLE = 200


describe(
    ChatRole,
    "Who says something.",
    USER="The one who asks.",
    ASSISTANT="What answers: a language model, or the offline one.",
)
describe(
    ChatStatus,
    "How far a message is.",
    QUEUED="An answer that waits for its turn.",
    STREAMING="An answer that is being written.",
    COMPLETE="Whole; questions always are.",
    CANCELLED="An answer that was stopped.",
    FAILED="An answer that did not come; its AI message was returned.",
)


@strawberry.type(description="A question, or the answer to it.")
class ChatMessage(Node):
    role: ChatRole = strawberry.field(description="Who says it.")
    content: str = strawberry.field(description="Plain text, to be shown as such; empty until an answer is there.")
    status: ChatStatus = strawberry.field(description="How far it is.")
    error: str | None = strawberry.field(description="Of a FAILED answer: what went wrong.")
    created_at: datetime = strawberry.field(description="When it was asked.")
    finished_at: datetime | None = strawberry.field(description="When it came to its end; null until then.")


def conversations_page(*page: Any, **named: Any) -> Listing:
    """A page of a user's conversations."""
    return Page(*page, **named).of(queries.chat.CONVERSATIONS_OF_USER)


def _messages(*page: Any, **named: Any) -> Listing:
    return Page(*page, **named).of(queries.chat.MESSAGES_OF_CONVERSATION)


@strawberry.type(description="Questions and their answers, in order.")
class Conversation(Node):
    title: str = strawberry.field(description="At first the first words of the first question.")
    created_at: datetime = strawberry.field(description="When its first question was asked.")
    updated_at: datetime = strawberry.field(description="When its last question was asked, or its title changed.")

    @strawberry.field(metadata={sql.LISTING: _messages}, description="The messages, in the order of the conversation.")
    def messages(
        self, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[ChatMessage]:
        return connect(ChatMessage, _messages(first, after, last, before), self.pk)


async def _conversation(info: Info, conversation_id: UUID) -> Conversation | None:
    owner = await info.context.caller.user_id()
    row = await info.context.read.row(queries.chat.conversations(owner, [conversation_id]))
    return Conversation.from_row(row) if row else None


async def _message(info: Info, message_id: UUID) -> ChatMessage | None:
    owner = await info.context.caller.user_id()
    row = await info.context.read.row(queries.chat.messages(owner, [message_id]))
    return ChatMessage.from_row(row) if row else None


@strawberry.type(description="The question that was stored, and its answer, which is being written.")
class SendChatMessagePayload(QuotaPayload):
    conversation_id: strawberry.Private[UUID]
    message_id: strawberry.Private[UUID]
    answer_id: strawberry.Private[UUID]

    @strawberry.field(description="The conversation, new if none was named; null for a retry after it was deleted.")
    async def conversation(self, info: Info) -> Conversation | None:
        return await _conversation(info, self.conversation_id)

    @strawberry.field(description="The question; null for a retry after the conversation was deleted.")
    async def message(self, info: Info) -> ChatMessage | None:
        return await _message(info, self.message_id)

    @strawberry.field(
        description="The answer: at first QUEUED. Ask for it by its id, with `node`, until it has ended. Null for a "
        "retry after the conversation was deleted."
    )
    async def answer(self, info: Info) -> ChatMessage | None:
        return await _message(info, self.answer_id)


@strawberry.type(description="The conversation with its new title.")
class RenameConversationPayload(Payload):
    conversation_id: strawberry.Private[UUID]

    @strawberry.field(description="The conversation; null for a retry after it was deleted.")
    async def conversation(self, info: Info) -> Conversation | None:
        return await _conversation(info, self.conversation_id)


@strawberry.type(description="The conversation that is no more.")
class DeleteConversationPayload(Payload):
    conversation_id: strawberry.Private[UUID]

    @strawberry.field(description="The global id it had.")
    def deleted_id(self) -> strawberry.ID:
        return strawberry.ID(ids.encode(Conversation.__name__, self.conversation_id))


@strawberry.input(description="What to ask, where, and about what.")
class SendChatMessageInput(MutationInput):
    content: str = strawberry.field(description="The question: 1 to 8000 characters, on as many lines as you like.")
    conversation_id: strawberry.ID | None = strawberry.field(
        default=None, description="The global id of a conversation of yours to go on with; null begins a new one."
    )
    portfolio_id: strawberry.ID | None = strawberry.field(
        default=None, description="The global id of a portfolio of yours that the question is about."
    )

    def check_fields(self, faults: Faults) -> None:
        faults.unless(is_visible(self.content[:MAX_CONTENT]), "input.content", "Not empty.")
        check_lines(faults, "content", self.content, longest=MAX_CONTENT)
        for name, given in (("conversationId", self.conversation_id), ("portfolioId", self.portfolio_id)):
            faults.unless(given is None or ids.decode(given) is not None, f"input.{name}", "Not an id of this API.")

    @property
    def conversation_key(self) -> UUID | None:
        """The conversation that is meant; `NotFound` for the id of something else."""
        return ids.key_of(Conversation.__name__, self.conversation_id) if self.conversation_id is not None else None

    @property
    def portfolio_key(self) -> UUID | None:
        """The portfolio that is meant; `NotFound` for the id of something else."""
        return ids.key_of("Portfolio", self.portfolio_id) if self.portfolio_id is not None else None


@strawberry.input(description="Which conversation.")
class ConversationIdInput(MutationInput):
    id: strawberry.ID = strawberry.field(description="The global id of a conversation of yours.")

    def check_fields(self, faults: Faults) -> None:
        faults.unless(ids.decode(self.id) is not None, "input.id", "Not an id of this API.")

    @property
    def conversation_key(self) -> UUID:
        """The conversation that is meant; `NotFound` for the id of something else."""
        return ids.key_of(Conversation.__name__, self.id)


@strawberry.input(description="Which conversation to call what.")
class RenameConversationInput(ConversationIdInput):
    title: str = strawberry.field(description="The new title: 1 to 200 characters.")

    def check_fields(self, faults: Faults) -> None:
        super().check_fields(faults)
        check_text(faults, "title", self.title, longest=MAX_TITLE)


@strawberry.input(description="Which conversation to remove.")
class DeleteConversationInput(ConversationIdInput):
    pass
