"""Whatever is spent, given back and adjusted, in whatever order, tier and month: counters are what it adds up to."""

from collections import Counter as Tally
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clock
import errors
from db.models import UNMETERED, new_id
from db.session import Database
from tests.spenders import MESSAGES, PLANS, PORTFOLIOS, Spender, account, at, counters

DEEDS = st.one_of(
    st.tuples(st.just("spend"), st.sampled_from([MESSAGES, PORTFOLIOS])),
    st.tuples(st.just("return"), st.integers(0, 9)),
    st.tuples(st.just("adjust"), st.sampled_from([-2, -1, 1, 2])),
    st.tuples(st.just("tier"), st.sampled_from(["free", "paid", "enterprise"])),
    st.tuples(st.just("month"), st.just(None)),
)


class Model:
    """The same in a few lines of arithmetic."""

    def __init__(self) -> None:
        self.limit: int | None = 2
        self.used: Tally[Any] = Tally()
        self.spent: list[tuple[UUID, Any]] = []
        self.returned: set[UUID] = set()

    def grants(self, period: Any, amount: int = 1) -> bool:
        after = self.used[period] + amount
        return after >= 0 if amount < 0 else self.limit is None or after <= self.limit


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(DEEDS, max_size=25))
async def test_whatever_is_done_in_whatever_order_it_adds_up(deeds: list[Any], database: Database) -> None:
    model, user_id, tier = Model(), await account(database), "free"
    at(datetime(2026, 10, 15, tzinfo=UTC))
    for deed, what in deeds:
        spender, month = Spender(database, user_id, tier), clock.now().date().replace(day=1)
        if deed == "tier":
            tier, model.limit = what, PLANS.of(what).limits[MESSAGES]
        elif deed == "month":
            clock.move(timedelta(days=31))
        elif deed == "return":
            paid_for, period = model.spent[what % len(model.spent)] if model.spent else (new_id(), None)
            expected = model.used[period] > 0 and paid_for not in model.returned
            assert await spender.give_back(paid_for) is expected
            if expected:
                model.returned.add(paid_for)
                model.used[period] -= 1
        else:
            period = UNMETERED if what == PORTFOLIOS else month
            amount = what if deed == "adjust" else 1
            expected, paid_for = model.grants(period, amount), new_id()
            work = spender.adjust(amount) if deed == "adjust" else spender.spend(what, paid_for)
            try:
                await work
                assert expected
                model.used[period] += amount
                model.spent += [(paid_for, period)] if deed == "spend" else []
            except (errors.TierLimitReached, errors.Conflict):
                assert not expected
        found = await counters(database, user_id)
        assert found == {period: used for period, used in model.used.items() if period in found}
        assert not any(used for period, used in model.used.items() if period not in found)
