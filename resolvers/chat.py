"""Queries and mutations of chat."""

import strawberry

import domain
from auth.permissions import HasValidatedInvite, IsAuthenticated, IsSession, within_tier
from db.session import after_commit
from resolvers.mutation import Work, mutation
from schema.chat import (
    Conversation,
    DeleteConversationInput,
    DeleteConversationPayload,
    RenameConversationInput,
    RenameConversationPayload,
    SendChatMessageInput,
    SendChatMessagePayload,
    conversations_page,
)
from schema.context import Info
from schema.pagination import After, Before, Connection, First, Last, callers, connect


@strawberry.type
class ChatQuery:
    @strawberry.field(
        permission_classes=[IsAuthenticated, IsSession],
        metadata=callers(Conversation, conversations_page),
        description="The caller's conversations, newest first.",
    )
    async def conversations(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Conversation]:
        actor = await info.context.caller.actor()
        return connect(Conversation, conversations_page(first, after, last, before), actor.user_id)


@strawberry.type
class ChatMutation:
    @mutation(
        IsAuthenticated,
        IsSession,
        HasValidatedInvite,
        within_tier("aiMessages"),
        description="Ask something. It costs one AI message, which a FAILED answer gives back. The answer is written "
        "in the background; at most 3 at the same time.",
    )
    async def send_chat_message(self, work: Work, input: SendChatMessageInput) -> SendChatMessagePayload:
        sent = await domain.chat.send(
            work.session,
            work.plans,
            work.actor,
            content=input.content,
            conversation_id=input.conversation_key,
            portfolio_id=input.portfolio_key,
        )
        after_commit(work.session, work.services.wake_replies)
        return SendChatMessagePayload(
            conversation_id=sent.conversation_id,
            message_id=sent.question_id,
            answer_id=sent.answer_id,
            **SendChatMessagePayload.kept(sent.quota),
        )

    @mutation(IsAuthenticated, IsSession, HasValidatedInvite, description="Call a conversation something else.")
    async def rename_conversation(self, work: Work, input: RenameConversationInput) -> RenameConversationPayload:
        await domain.chat.rename(work.session, work.actor, input.conversation_key, input.title)
        return RenameConversationPayload(conversation_id=input.conversation_key)

    @mutation(
        IsAuthenticated,
        IsSession,
        HasValidatedInvite,
        description="Remove a conversation with its messages, for good. An answer that is on its way is abandoned; its "
        "AI message is returned only if nobody has begun to write it.",
    )
    async def delete_conversation(self, work: Work, input: DeleteConversationInput) -> DeleteConversationPayload:
        await domain.chat.delete(work.session, work.actor, input.conversation_key)
        return DeleteConversationPayload(conversation_id=input.conversation_key)
