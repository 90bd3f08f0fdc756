"""What a language model is asked: bounded, in order, the question always last."""

from hypothesis import given
from hypothesis import strategies as st

from domain import chat_prompt
from domain.chat_prompt import Said, turns_of
from integrations.llm import MAX_REQUEST, MAX_TURNS
from integrations.llm_terms import Turn

QUESTION = Said(by_user=True, content="Why?")


def test_the_conversation_in_order_behind_one_instruction() -> None:
    system, *turns = turns_of([QUESTION, Said(by_user=False, content="Because."), QUESTION], None)
    assert system.role == "system"
    assert turns == [Turn("user", "Why?"), Turn("assistant", "Because."), Turn("user", "Why?")]


def test_the_portfolio_is_described() -> None:
    [system, _] = turns_of([QUESTION], "The portfolio “Main” (USD) has 7 positions.")
    assert system.content.endswith("The question is about this portfolio. The portfolio “Main” (USD) has 7 positions.")


@given(st.lists(st.builds(Said, by_user=st.booleans(), content=st.integers(1, 9_000).map("a".__mul__)), min_size=1))
def test_it_is_bounded_and_ends_with_the_question(messages: list[Said]) -> None:
    _, *turns = turns_of(messages, None)
    assert [turn.content for turn in turns] == [message.content for message in messages][-len(turns) :]
    assert 1 <= len(turns) <= chat_prompt.MAX_MESSAGES < MAX_TURNS
    assert len(turns) == 1 or sum(len(turn.content) for turn in turns) <= chat_prompt.MAX_CHARACTERS < MAX_REQUEST
