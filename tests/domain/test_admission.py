"""Who is let in: the short answer and the explained one are the same."""

from itertools import product

import pytest

from domain import admission
from domain.actor import Standing


@pytest.mark.parametrize(("signed_in", "active", "invited"), list(product((True, False), repeat=3)))
def test_the_short_answer_is_that_of_the_checks(signed_in: bool, active: bool, invited: bool) -> None:
    standing = Standing("free", None, invited, active=active, signed_in=signed_in)
    passed = all(check.passed for check in admission.checks(standing))
    assert admission.admits(standing) is passed
    assert (admission.refusal(standing) is None) is passed
