"""What people read of entitlements. Which of these sentences is true is decided in entitlements."""

from datetime import UTC, datetime

from domain.plans import Feature


def moment(at: datetime) -> str:
    """`2026-12-01 00:00 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def amount(feature: Feature, limit: int | None) -> str:
    """`1000 AI messages a month`, `up to 10 portfolios`, `position import`."""
    if feature.kind == "switch":
        return feature.title
    if limit is None:
        return f"{feature.title} without limit"
    counted = f"{limit} {_noun(feature, limit)}"
    return f"{counted} a month" if feature.kind == "metered" else f"up to {counted}"


def granted(feature: Feature, extra: int | None, until: datetime | None, now: datetime) -> str:
    """`You were granted 50 AI messages a month more, until 2026-12-31 00:00 UTC.`"""
    if feature.kind == "switch" or extra is None:
        what = amount(feature, None)
    else:
        what = f"{extra} {_noun(feature, extra)}{' a month' if feature.kind == 'metered' else ''} more"
    if until is None:
        return f"You were granted {what}, for good."
    return f"You were granted {what}, {'until' if now < until else 'which ended on'} {moment(until)}."


def trial(adds: str | None, ends_at: datetime, now: datetime) -> str:
    """`Your trial includes 1000 AI messages a month until 2026-12-20 00:00 UTC.`; `adds` None: nothing."""
    if now < ends_at:
        return f"Your trial includes {adds or 'nothing more'} until {moment(ends_at)}."
    return f"Your trial{f', which included {adds},' if adds else ''} ended on {moment(ends_at)}."


def upgrade(feature: Feature, plan: str, limit: int | None) -> str:
    """`Upgrade to Paid for 1000 a month.`"""
    if feature.kind == "switch" or limit is None:
        return f"Upgrade to {plan} for {amount(feature, limit)}."
    return f"Upgrade to {plan} for {limit} a month." if feature.kind == "metered" else f"Upgrade to {plan} for {limit}."


def usage(feature: Feature, used: int, limit: int | None) -> str:
    """`You have used 100 of 100 AI messages this month.`"""
    if feature.kind == "switch":
        return f"{_sentence(feature.title)} is not counted."
    counted = f"{used} of {limit} {_noun(feature, limit)}" if limit is not None else f"{used} {_noun(feature, used)}"
    when = " this month" if feature.kind == "metered" else ""
    verb = "have used" if feature.kind == "metered" else "have"
    return f"You {verb} {counted}{when}{'; there is no limit' if limit is None else ''}."


def delete(feature: Feature, count: int) -> str:
    """`Delete one portfolio.`, `Delete 4 portfolios.`"""
    return f"Delete {'one' if count == 1 else count} {_noun(feature, count)}."


def either(remedies: list[str]) -> str:
    """One sentence that leaves the choice: `Upgrade to Paid for 10, or delete one portfolio.`"""
    first, *others = (sentence.removesuffix(".") for sentence in remedies)
    return ", or ".join((first, *(other[0].lower() + other[1:] for other in others))) + "."


def _noun(feature: Feature, count: int) -> str:
    return feature.singular if count == 1 else feature.title


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
