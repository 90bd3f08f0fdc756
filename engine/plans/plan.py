"""One operation, compiled, with its conditions decided: run it, as often as it is asked for."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

from graphql import GraphQLError
from graphql.execution.values import VariableValues

from engine.answers import Executed
from engine.plans.resolving import Resolving
from engine.plans.running import Run
from engine.plans.selections import Ahead, Composed, Field, Operation, Selections, Slot
from engine.plans.source import compile_plan
from engine.plans.steps import Coroutine
from engine.plans.variables import Variables

# Measured, from above: what a plan takes, and each of its fields.
_PLAN_BYTES = 20_000
_FIELD_BYTES = 6_000


class Foresee(Protocol):
    """Is told what a plan will ask for, before anything runs."""

    def __call__(self, context: Any, needs: frozenset[str], ahead: Any, /, *, guarded: bool) -> Awaitable[None] | None:
        """Of fields: what they declare as their `NEEDS`, and what the composer may have read ahead.

        `guarded`: there are permissions on the one field at the root of a query. What is returned is awaited, so that
        guards and resolvers have at hand then what they ask for. Of several fields each waits in its own time, by which
        it is decided whose error is told.
        """


class Plan:
    """Answers as graphql-core would: the same data in the same order, the same errors, the same calls of resolvers."""

    def __init__(
        self,
        operation: Operation,
        conditions: Mapping[str, bool],
        resolving: Resolving,
        compose: Callable[[Slot], Composed | None],
        *,
        variables: Variables,
    ) -> None:
        """`Unsupported` where there are too many fields. `variables` are shared by the plans of the operation."""
        selections = Selections(operation, conditions)
        self._operation = operation
        self.variables = variables
        self.needs = selections.needs
        self._steps = compile_plan(selections, operation, resolving, compose)
        self._ahead = next(_aheads(selections), None)
        self._guarded = not selections.serial and any(map(_is_alone_and_guarded, selections.root.fields))
        self.size = _PLAN_BYTES + selections.size * _FIELD_BYTES

    async def run(
        self,
        root: object,
        context: object,
        *,
        variables: VariableValues,
        extensions: Mapping[str, Any],
        max_fields: int,
        foresee: Foresee | None,
    ) -> Executed:
        """Run it once. `TooManyFieldsError` where the answer gets larger than `max_fields`.

        `foresee` is told before what there is to tell, and waited for.

        When it returns or raises, nothing it started is running any more.
        """
        run = Run(self._operation, root, context, variables=variables, extensions=extensions, max_fields=max_fields)
        if foresee is not None and (self._guarded or self.needs or self._ahead):
            if self._ahead is not None:
                run.ahead_of, ahead = self._ahead
                run.ahead = ahead(run)
            foreseen = foresee(context, self.needs, run.ahead, guarded=self._guarded)
            if foreseen is not None:
                await foreseen
        data: dict[str, Any] | None = {}
        whole = False
        try:
            for step in self._steps:
                result = step(root, None, run)
                data |= await result if type(result) is Coroutine else result
            whole = not run.errors
        except GraphQLError as error:
            run.note(error, None)
            data = None
        finally:
            if run.tasks:
                await run.settle()
            if not whole:
                run.close_unstarted()
        return Executed(data, run.errors or ())


def _is_alone_and_guarded(field: Field) -> bool:
    declared = field.definition.extensions.get("strawberry-definition")
    return field.alone and bool(getattr(declared, "extensions", ()))


def _aheads(selections: Selections) -> Iterator[tuple[Field, Callable[[Run], Ahead | None]]]:
    """Of the fields at the root of a query. One is enough: several would wait for each other in one statement."""
    for field in () if selections.serial else selections.root.fields:
        composed = field.slot.composed
        if composed is not None and composed.ahead is not None:
            yield field, composed.ahead
