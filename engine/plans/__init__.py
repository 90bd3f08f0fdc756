"""Operations that are asked for again, compiled: what graphql-core would do for each field, decided once."""

from engine.plans.guarding import AT_ONCE, LATER, AtOnce
from engine.plans.plan import Foresee
from engine.plans.planner import Planned, Planner
from engine.plans.selections import NEEDS, Composer
from engine.plans.support import Fallback
from engine.plans.variables import MAX_INPUT_ERRORS

__all__ = [
    "AT_ONCE",
    "LATER",
    "MAX_INPUT_ERRORS",
    "NEEDS",
    "AtOnce",
    "Composer",
    "Fallback",
    "Foresee",
    "Planned",
    "Planner",
]
