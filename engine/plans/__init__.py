"""Operations that are asked for again, compiled: what graphql-core would do for each field, decided once."""

from engine.plans.plan import Foresee
from engine.plans.planner import Planned, Planner
from engine.plans.selections import NEEDS, Composer
from engine.plans.support import Fallback

__all__ = ["NEEDS", "Composer", "Fallback", "Foresee", "Planned", "Planner"]
