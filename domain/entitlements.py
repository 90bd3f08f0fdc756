"""What an account may do, and why: one pure function that guards, spending and explanations share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import errors
from db.models import UNMETERED
from domain import admission
from domain import entitlements_words as words
from domain.actor import Override, Standing
from domain.decisions import REFUSALS, Check, Decision, Quota, Remedy, RemedyKind, Rule
from domain.plans import LARGEST, Feature, Plans


def period_of(feature: Feature, now: datetime) -> date:
    """What usage is counted under: the first day of the month in UTC, or always the same for what is not metered."""
    return now.astimezone(UTC).date().replace(day=1) if feature.kind == "metered" else UNMETERED


def resets_at(feature: Feature, now: datetime) -> datetime | None:
    """The first moment of the next month in UTC; None for what is not metered."""
    if feature.kind != "metered":
        return None
    today = now.astimezone(UTC)
    return datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC)


def limit_of(plans: Plans, standing: Standing, feature: Feature, now: datetime) -> int | None:
    """The better of tier and, while it runs, trial, plus what overrides add. None: without limit; 0: not included."""
    extras = [one.extra for one in _overrides(standing, feature) if _runs(one.until, now)] if standing.overrides else ()
    return _limit(plans, standing, feature, trial=_on_trial(standing, now), extras=extras)


def quota_of(plans: Plans, standing: Standing, feature: Feature, used: int, now: datetime) -> Quota | None:
    """The usage beside the limit; None for a switch, which is not counted."""
    return None if feature.kind == "switch" else quota(feature, used, limit_of(plans, standing, feature, now), now)


def quota(feature: Feature, used: int, limit: int | None, now: datetime) -> Quota:
    """The usage of what is counted beside its limit."""
    remaining = None if limit is None else max(0, limit - used)
    return Quota(feature.key, used=used, limit=limit, remaining=remaining, resets_at=resets_at(feature, now))


def is_included(plans: Plans, standing: Standing, feature: Feature, now: datetime) -> bool:
    """Whether `decide` allows the first of it, without the words."""
    return admission.admits(standing) and limit_of(plans, standing, feature, now) != 0


def decide(plans: Plans, standing: Standing, feature: Feature, used: int, now: datetime) -> Decision:
    """Whether one more may be used: every check in order, and for each that fails what would let it pass.

    `used`: units of this month, or objects that exist; of no matter for a switch.
    """
    case = _Case(plans, standing, feature, used, now)
    checks = tuple(case.checks())
    failed = [check for check in checks if not check.passed]
    remedies = tuple(remedy for check in failed for remedy in case.remedies(check.rule))
    refusal = failed and REFUSALS.get(failed[0].rule, errors.TierLimitReached)
    return Decision(
        feature=feature,
        tier=plans.of(standing.tier).tier,
        allowed=not failed,
        code=refusal.code if refusal else None,
        message=case.message(checks, remedies),
        quota=quota_of(plans, standing, feature, used, now) if standing.signed_in and standing.active else None,
        checks=checks,
        remedies=remedies,
    )


def _overrides(standing: Standing, feature: Feature) -> list[Override]:
    return [override for override in standing.overrides if override.feature == feature.key]


def _runs(until: datetime | None, now: datetime) -> bool:
    return until is None or now < until


def _on_trial(standing: Standing, now: datetime) -> bool:
    return standing.trial_ends_at is not None and now < standing.trial_ends_at


def _better(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _limit(
    plans: Plans, standing: Standing, feature: Feature, *, trial: bool, extras: Sequence[int | None]
) -> int | None:
    limit = plans.of(standing.tier).limits[feature.key]
    if trial:
        limit = _better(limit, plans.trial.limits[feature.key])
    for extra in extras:
        limit = None if limit is None or extra is None else min(limit + extra, LARGEST)
    return None if feature.kind == "switch" and limit else limit


@dataclass(frozen=True, slots=True)
class _Case:
    """One question, and what its checks share."""

    plans: Plans
    standing: Standing
    feature: Feature
    used: int
    now: datetime

    def checks(self) -> Iterator[Check]:
        """In order; of who is not signed in or is shut out the plan is not judged."""
        yield from admission.checks(self.standing)
        if self.standing.signed_in and self.standing.active:
            yield from (self._plan(), self._override(), self._trial(), self._quota())

    def remedies(self, rule: Rule) -> list[Remedy]:
        """What would let this check pass, which has failed; at least one."""
        match rule:
            case Rule.PLAN | Rule.TRIAL:
                found = [self._upgrade(rule)]
            case Rule.QUOTA:
                found = [self._upgrade(rule), self._wait(rule), self._delete(rule)]
            case Rule.OVERRIDE:
                found = []
            case _:
                return [admission.remedy(rule)]
        ask = Remedy(RemedyKind.CONTACT_OPERATOR, rule, admission.ASK)
        return [remedy for remedy in found if remedy] or [ask]

    def message(self, checks: Sequence[Check], remedies: Sequence[Remedy]) -> str:
        """For people: the usage where it is allowed; else what the first refusal is about, and its remedies."""
        kinds = [REFUSALS.get(check.rule) for check in checks if not check.passed]
        if not kinds:
            about = Rule.PLAN if self.feature.kind == "switch" else Rule.QUOTA
            return next(check.detail for check in checks if check.rule is about)
        details = [check.detail for check in checks if not check.passed and REFUSALS.get(check.rule) is kinds[0]]
        ways = [remedy.message for remedy in remedies if REFUSALS.get(remedy.rule) is kinds[0]]
        return " ".join((*details, words.either(list(dict.fromkeys(ways)))))

    def _plan(self) -> Check:
        plan = self.plans.of(self.standing.tier)
        limit = plan.limits[self.feature.key]
        if limit != 0:
            return Check(Rule.PLAN, True, f"Your plan {plan.title} includes {words.amount(self.feature, limit)}.")
        lacks = f"Your plan {plan.title} does not include {self.feature.title}"
        if self._limit() != 0:
            return Check(Rule.PLAN, True, f"{lacks}, but a grant or your trial does.")
        return Check(Rule.PLAN, False, f"{lacks}.")

    def _override(self) -> Check:
        overrides = _overrides(self.standing, self.feature)
        had = _limit(
            self.plans,
            self.standing,
            self.feature,
            trial=_on_trial(self.standing, self.now),
            extras=[override.extra for override in overrides],
        )
        details = [words.granted(self.feature, one.extra, one.until, self.now) for one in overrides]
        detail = " ".join(details) or "Nothing extra was granted to you."
        return Check(Rule.OVERRIDE, self._fits(self._limit()) or not self._fits(had), detail)

    def _trial(self) -> Check:
        ends_at = self.standing.trial_ends_at
        if ends_at is None:
            return Check(Rule.TRIAL, True, "There is no trial.")
        extras = [one.extra for one in _overrides(self.standing, self.feature) if _runs(one.until, self.now)]
        had = _limit(self.plans, self.standing, self.feature, trial=True, extras=extras)
        passed = self._fits(self._limit()) or not self._fits(had)
        own, trial = (plan.limits[self.feature.key] for plan in (self.plans.of(self.standing.tier), self.plans.trial))
        adds = words.amount(self.feature, trial) if _better(own, trial) != own else None
        return Check(Rule.TRIAL, passed, words.trial(adds, ends_at, self.now))

    def _quota(self) -> Check:
        limit = self._limit()
        if limit == 0:
            return Check(Rule.QUOTA, True, "Nothing is counted while it is not included.")
        return Check(Rule.QUOTA, self._fits(limit), words.usage(self.feature, self.used, limit))

    def _upgrade(self, rule: Rule) -> Remedy | None:
        """To the lowest tier above that would allow it now."""
        tiers = self.plans.tiers
        for plan in tiers[tiers.index(self.plans.of(self.standing.tier)) + 1 :]:
            limit = limit_of(self.plans, self.standing._replace(tier=plan.tier), self.feature, self.now)
            if self._fits(limit):
                message = words.upgrade(self.feature, plan.title, limit)
                return Remedy(RemedyKind.UPGRADE, rule, message, tier=plan.tier, url=self.plans.upgrade_url)
        return None

    def _wait(self, rule: Rule) -> Remedy | None:
        """Until the next month, where it is still included then: a trial or override may end before."""
        at = resets_at(self.feature, self.now)
        if at is None or limit_of(self.plans, self.standing, self.feature, at) == 0:
            return None
        return Remedy(RemedyKind.WAIT, rule, f"Wait until {words.moment(at)}.", available_at=at)

    def _delete(self, rule: Rule) -> Remedy | None:
        limit = self._limit()
        if self.feature.kind != "count" or not limit:
            return None
        return Remedy(RemedyKind.DELETE, rule, words.delete(self.feature, self.used - limit + 1))

    def _limit(self) -> int | None:
        return limit_of(self.plans, self.standing, self.feature, self.now)

    def _fits(self, limit: int | None) -> bool:
        return limit is None or self.used < limit
