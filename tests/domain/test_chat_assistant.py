"""The offline assistant: always labelled, never at a loss, and every number is one of the facts."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from domain import plans
from domain.actor import Standing
from domain.chat_assistant import LABEL, MAX_LISTED, Facts, PortfolioFacts, PositionFacts, answer
from domain.entitlements import decide

PLANS = plans.load(None)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FREE = Standing(tier="free", trial_ends_at=None, invited=True)
USED = {"portfolios": 2, "aiMessages": 99, "scans": 7, "positionImport": 0}

MAIN = PortfolioFacts(
    name="Main",
    currency="USD",
    position_count=7,
    largest=(
        PositionFacts("AAPL", Decimal("10.0000"), Decimal("1234.50")),
        PositionFacts("TSLA", Decimal("-3"), Decimal("-900.10")),
    ),
)
SPARE = PortfolioFacts(name="Spare", currency="EUR", position_count=0, largest=())


def facts(used: dict[str, int] | None = None, **changes: object) -> Facts:
    decisions = [decide(PLANS, FREE, one, (used or USED)[one.key], NOW) for one in PLANS.features.values()]
    given = {"plan": "Free", "decisions": decisions, "portfolio_count": 2, "portfolios": [SPARE, MAIN]} | changes
    return Facts(**given)  # type: ignore[arg-type]  # a test says what it means


@pytest.mark.parametrize("question", ["Which plan am I on?", "can I UPGRADE", "What are my limits?"])
def test_the_plan_and_its_limits(question: str) -> None:
    said = answer(question, facts())
    assert said.startswith("Offline assistant (no language model is configured): Your plan is Free.")
    assert "It includes up to 2 portfolios." in said
    assert "It includes 100 AI messages a month." in said
    assert "It includes scans without limit." in said
    assert "It includes position import." in said


@pytest.mark.parametrize("question", ["How many messages are left?", "When does it reset?", "my usage", "quota"])
def test_usage_and_reset(question: str) -> None:
    said = answer(question, facts())
    assert "You have used 99 of 100 AI messages this month. That resets on 2026-12-01 00:00 UTC." in said
    assert "You have 2 of 2 portfolios." in said
    assert "You have used 7 scans this month; there is no limit." in said


@pytest.mark.parametrize("question", ["Show my portfolios", "what are my biggest positions?", "which stocks do I own"])
def test_portfolios_and_their_largest_positions(question: str) -> None:
    assert answer(question, facts()) == LABEL + (
        "You have 2 portfolios. The portfolio “Spare” (EUR) has 0 positions. "
        "The portfolio “Main” (USD) has 7 positions. "
        "Its largest open positions by cost: AAPL, 10 for 1234.5; TSLA, -3 for -900.1."
    )


def test_none_and_many_portfolios() -> None:
    assert answer("portfolios?", facts(portfolio_count=0, portfolios=[])) == LABEL + "You have no portfolios yet."
    many = answer("portfolios?", facts(portfolio_count=1000, portfolios=[SPARE] * 50))
    assert many.count("“Spare”") == MAX_LISTED
    assert many.endswith(f"And {1000 - MAX_LISTED} more.")


def test_the_portfolio_that_was_asked_about_comes_whatever_was_asked() -> None:
    said = answer("How is it doing?", facts(about=MAIN))
    assert said == LABEL + (
        "The portfolio “Main” (USD) has 7 positions. "
        "Its largest open positions by cost: AAPL, 10 for 1234.5; TSLA, -3 for -900.1."
    )


@pytest.mark.parametrize("question", ["", "Who won in 1998?", "\0\ud800", "a" * 8000, "because the planet"])
def test_of_anything_else_it_says_what_it_can(question: str) -> None:
    said = answer(question, facts())
    assert said.startswith(f"{LABEL}I can tell you your plan")


def test_names_stay_on_their_line() -> None:
    odd = PortfolioFacts(name=f"a\nb{'c' * 500}", currency="USD", position_count=1, largest=())
    said = answer("portfolios", facts(portfolio_count=1, portfolios=[odd]))
    assert "\n" not in said
    assert len(said) < 300


amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=10)
portfolios = st.builds(
    PortfolioFacts,
    name=st.text("abc \n", min_size=1),
    currency=st.sampled_from(["USD", "JPY"]),
    position_count=st.integers(0, 10**6),
    largest=st.lists(
        st.builds(PositionFacts, symbol=st.text("XYZ", min_size=1), quantity=amounts, cost_basis=amounts), max_size=9
    ).map(tuple),
)


@given(
    question=st.text()
    | st.lists(st.sampled_from(["plan", "usage", "limit", "portfolio", "largest", "reset"])).map(" ".join),
    used=st.fixed_dictionaries({key: st.integers(0, 10**9) for key in USED}),
    listed=st.lists(portfolios, max_size=30),
    more=st.integers(0, 1000),
    about=st.none() | portfolios,
)
@hypothesis_settings(max_examples=200, deadline=None)
def test_it_makes_up_no_number(
    question: str, used: dict[str, int], listed: list[PortfolioFacts], more: int, about: PortfolioFacts | None
) -> None:
    known = facts(used, portfolio_count=len(listed) + more, portfolios=listed, about=about)
    said = answer(question, known)
    assert said.startswith(LABEL)
    assert len(said) < 32_000
    numbers = {Decimal(text) for text in re.findall(r"-?[0-9]+(?:\.[0-9]+)?", re.sub("2026-12-01 00:00", "", said))}
    everything = [*listed, *([about] if about else [])]
    given = {Decimal(value) for value in (2, 100, len(listed) + more, *used.values())}
    given |= {Decimal(one.position_count) for one in everything}
    given |= {
        value for one in everything for position in one.largest for value in (position.quantity, position.cost_basis)
    }
    given.add(Decimal(max(0, len(listed) + more - min(len(listed), MAX_LISTED))))
    assert numbers <= given
