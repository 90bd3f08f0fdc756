"""The assistant without a language model: a question and what we know of who asks it, to text. It reads nothing itself.

It recognises topics by their words and makes up nothing: every number is one of the facts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import spelling
from domain import entitlements_words as words
from domain.decisions import Decision

LABEL = "Offline assistant (no language model is configured): "
"""What every answer begins with."""
MAX_LISTED = 20
"""Portfolios, or features, of one answer."""
MAX_LARGEST = 5
"""Positions of one portfolio."""
MAX_NAME = 80

_ABILITIES = (
    "I can tell you your plan and its limits, what you have used and when it resets, and your portfolios with their"
    " largest positions. Ask me about one of these."
)
_PLAN = re.compile(r"\b(?:plans?\b|tier|limit|quota|subscri|upgrad|trial|allow|include)", re.IGNORECASE)
_USAGE = re.compile(r"\b(?:us(?:e|ed|age|ing)\b|left\b|remain|reset|renew|message|quota|limit)", re.IGNORECASE)
_PORTFOLIOS = re.compile(
    r"\b(?:portfolio|position|holding|hold\b|stock|share|invest|largest|biggest|own\b)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class PositionFacts:
    """A position; `cost_basis` in the currency of its portfolio, negative for a short one."""

    symbol: str
    quantity: Decimal
    cost_basis: Decimal


@dataclass(frozen=True, slots=True)
class PortfolioFacts:
    """A portfolio; `largest` of its open positions by absolute cost basis, the largest first."""

    name: str
    currency: str
    position_count: int
    largest: tuple[PositionFacts, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the caller may know of themselves. `portfolio_count`: of all, where `portfolios` are the first of them.

    `about`: the portfolio that the question was asked about.
    """

    plan: str
    decisions: Sequence[Decision]
    portfolio_count: int
    portfolios: Sequence[PortfolioFacts]
    about: PortfolioFacts | None = None


def answer(question: str, facts: Facts) -> str:
    """The answer, beginning with `LABEL`; for a question about anything else, what can be answered."""
    return LABEL + (" ".join(_parts(question, facts)) or _ABILITIES)


def describe(portfolio: PortfolioFacts) -> str:
    """A portfolio in a sentence or two; for a language model too."""
    counted = f"{portfolio.position_count} position{'' if portfolio.position_count == 1 else 's'}"
    said = f"The portfolio “{_line(portfolio.name)}” ({_line(portfolio.currency)}) has {counted}."
    if not portfolio.largest:
        return said
    largest = "; ".join(
        f"{_line(one.symbol)}, {spelling.shortest(one.quantity)} for {spelling.shortest(one.cost_basis)}"
        for one in portfolio.largest[:MAX_LARGEST]
    )
    return f"{said} Its largest open positions by cost: {largest}."


def _parts(question: str, facts: Facts) -> Iterator[str]:
    if _PLAN.search(question):
        yield from _plan(facts)
    if _USAGE.search(question):
        yield from _usage(facts)
    if facts.about is not None:
        yield describe(facts.about)
    elif _PORTFOLIOS.search(question):
        yield from _portfolios(facts)


def _plan(facts: Facts) -> Iterator[str]:
    yield f"Your plan is {_line(facts.plan)}."
    for decision in facts.decisions[:MAX_LISTED]:
        limit = decision.quota.limit if decision.quota else None
        included = limit != 0 and (decision.quota is not None or decision.allowed)
        yield (
            f"It includes {words.amount(decision.feature, limit)}."
            if included
            else f"It does not include {decision.feature.title}."
        )


def _usage(facts: Facts) -> Iterator[str]:
    for decision in facts.decisions[:MAX_LISTED]:
        quota = decision.quota
        if quota is None:
            continue
        yield words.usage(decision.feature, quota.used, quota.limit)
        if quota.resets_at is not None:
            yield f"That resets on {words.moment(quota.resets_at)}."


def _portfolios(facts: Facts) -> Iterator[str]:
    if facts.portfolio_count == 0:
        yield "You have no portfolios yet."
        return
    yield f"You have {facts.portfolio_count} portfolio{'' if facts.portfolio_count == 1 else 's'}."
    for portfolio in facts.portfolios[:MAX_LISTED]:
        yield describe(portfolio)
    hidden = facts.portfolio_count - len(facts.portfolios[:MAX_LISTED])
    if hidden > 0:
        yield f"And {hidden} more."


def _line(text: str) -> str:
    """One line of bounded length, whatever somebody called it."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_NAME else line[: MAX_NAME - 1] + "…"
