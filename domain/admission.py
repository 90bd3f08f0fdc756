"""Whether somebody is let in at all: signed in, in good standing, invited. What a plan includes is in entitlements."""

from collections.abc import Iterator

from domain.actor import Standing
from domain.decisions import REFUSALS, Check, Remedy, RemedyKind, Rule
from errors import AppError

ASK = "Ask whoever runs this service."


def checks(standing: Standing) -> Iterator[Check]:
    """In order, as far as they can be judged: of a stranger or an account that is shut out no more is known or told."""
    if not standing.signed_in:
        yield Check(Rule.SIGNED_IN, False, "You are not signed in.")
        return
    yield Check(Rule.SIGNED_IN, True, "You are signed in.")
    if not standing.active:
        yield Check(Rule.ACTIVE, False, f"This account {'was deleted' if standing.deleted else 'is disabled'}.")
        return
    yield Check(Rule.ACTIVE, True, "This account is active.")
    invited = standing.invited
    yield Check(Rule.INVITE, invited, "You were let in." if invited else "An invite is needed first.")


def admits(standing: Standing) -> bool:
    """Whether all `checks` pass, without their words."""
    return standing.signed_in and standing.active and standing.invited


def remedy(rule: Rule) -> Remedy:
    """What would let this check pass, which has failed."""
    match rule:
        case Rule.SIGNED_IN:
            return Remedy(RemedyKind.SIGN_IN, rule, "Sign in: send a token as Authorization: Bearer <token>.")
        case Rule.INVITE:
            return Remedy(RemedyKind.USE_INVITE, rule, "Call validateInvite with your code.")
    return Remedy(RemedyKind.CONTACT_OPERATOR, rule, ASK)


def refusal(standing: Standing) -> AppError | None:
    """The error that guards refuse with, in the words of the explanation; None for an account that is let in."""
    for check in () if admits(standing) else checks(standing):
        if not check.passed:
            return REFUSALS[check.rule](f"{check.detail} {remedy(check.rule).message}")
    return None
