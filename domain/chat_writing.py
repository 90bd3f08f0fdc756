"""What an answer says: gathered in single reads, then put to the language model, or to the offline assistant."""

from collections.abc import Sequence
from uuid import UUID

import clock
import errors
from db import queries
from db.models import ChatRole
from db.session import Database, Row
from domain import chat_assistant, usage
from domain.actor import Standing, standing_of
from domain.chat_assistant import MAX_LISTED, Facts, PortfolioFacts, PositionFacts
from domain.chat_prompt import MAX_MESSAGES, Said, turns_of
from domain.decisions import Decision
from domain.entitlements import decide
from domain.plans import Plans
from integrations.llm import Llm


class Writer:
    """Writes one answer at a time, or many; without `llm` it is the offline assistant."""

    def __init__(self, database: Database, plans: Plans, llm: Llm | None) -> None:
        self._database = database
        self._plans = plans
        self._llm = llm

    async def write(self, answer: Row) -> str:
        """The text of this answer (its id, user_id, conversation_id and position); no transaction is open meanwhile.

        Whatever `AppError` it raises has words for the person who asked.
        """
        standing = await self._standing(answer.user_id)
        if not standing.active:
            raise errors.AccountDisabled("This account is disabled.")
        earlier = queries.chat.before(answer.user_id, answer.conversation_id, answer.position, MAX_MESSAGES)
        messages = await self._database.rows(earlier)
        if not messages:
            raise errors.NotFound("The conversation was deleted.")
        question = messages[0]
        about = await self._about(answer.user_id, question.portfolio_id)
        if self._llm is None:
            return chat_assistant.answer(question.content, await self._facts(answer.user_id, standing, about))
        said = [Said(message.role == ChatRole.USER, message.content) for message in reversed(messages)]
        return await self._llm.answer(turns_of(said, chat_assistant.describe(about) if about else None))

    async def _standing(self, user_id: UUID) -> Standing:
        row = await self._database.row(queries.accounts.standing_of_user(user_id))
        assert row is not None  # accounts stay, deleted ones too
        # Who could ask was let in; and what is shown is limits and usage, which the gate does not change.
        return standing_of(row, invite_required=False)

    async def _facts(self, user_id: UUID, standing: Standing, about: PortfolioFacts | None) -> Facts:
        portfolios = queries.portfolios.PORTFOLIOS_OF_USER
        count = await self._database.row(portfolios.count([user_id]))
        first = await self._database.rows(portfolios.of([user_id]))
        return Facts(
            plan=self._plans.of(standing.tier).title,
            decisions=await self._decisions(user_id, standing),
            portfolio_count=count.children if count else 0,
            portfolios=await self._portfolios(first[:MAX_LISTED]),
            about=about,
        )

    async def _decisions(self, user_id: UUID, standing: Standing) -> list[Decision]:
        now = clock.now()
        used = usage.usages(self._plans, await self._database.rows(usage.overview(user_id, now)))
        features = self._plans.features.values()
        return [decide(self._plans, standing, feature, used[feature.key].counted, now) for feature in features]

    async def _about(self, user_id: UUID, portfolio_id: UUID | None) -> PortfolioFacts | None:
        if portfolio_id is None:
            return None
        found = await self._portfolios(
            await self._database.rows(queries.portfolios.portfolios(user_id, [portfolio_id]))
        )
        return found[0] if found else None

    async def _portfolios(self, rows: Sequence[Row]) -> list[PortfolioFacts]:
        """These portfolios with their largest positions, in one statement."""
        largest: dict[UUID, list[PositionFacts]] = {row.id: [] for row in rows}
        if rows:
            for row in await self._database.rows(queries.portfolios.LARGEST_OPEN_OF_PORTFOLIO.of(list(largest))):
                largest[row.portfolio_id].append(PositionFacts(row.symbol, row.quantity, row.cost_basis))
        return [PortfolioFacts(row.name, row.currency, row.position_count, tuple(largest[row.id])) for row in rows]
