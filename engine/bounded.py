"""How an execution ends: at a number of fields, and with nothing left running. graphql-core's executor, made to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from graphql.execution import Executor

from engine.limits import TooComplex

Futures = set[asyncio.Future[Any]]


class TooManyFieldsError(TooComplex):
    """The operation turned out to select more fields than one may. It ends the operation, not just its field."""

    def __init__(self, most: int) -> None:
        message = f"The answer has more than {most} fields and was cut off. Ask for less at once."
        super().__init__("executedFields", most, message)


class CancelledElsewhereError(Exception):
    """What a resolver waited for was cancelled, but not the resolver: it is the error of its field."""

    def __init__(self) -> None:
        super().__init__("What the field waited for was cancelled.")


async def awaited(awaitable: Awaitable[Any]) -> Any:
    """The result of a resolver.

    A loader gives all who ask for a key the same future, and when one of them is stopped, it is cancelled for them all.
    Passed on, that would look as if the request had been cancelled.
    """
    try:
        return await awaitable
    except asyncio.CancelledError:
        if cast("asyncio.Task[Any]", current_task()).cancelling():
            raise
        raise CancelledElsewhereError from None


async def settle(working: Callable[[], Futures], abandoned: Callable[[], Futures]) -> None:
    """Stop what still runs of a request and wait until it has stopped.

    `working` are its tasks, `abandoned` what nobody waits for any more; both may become more while they stop.
    """
    own = current_task()
    told: Futures = set()
    while left := {work for work in working() | abandoned() if work is not own and not work.done()}:
        new = left - told
        if new:
            await asyncio.sleep(0)  # what is stopped before it began leaves a coroutine that nobody awaited
            told |= new
            for work in sorted(new, key=lambda one: isinstance(one, asyncio.Task)):
                # Once only: to cancel again would interrupt the rollback that the first time set off.
                if not (isinstance(work, asyncio.Task) and work.cancelling()):
                    work.cancel()
        else:
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
    for work in told:
        if not work.cancelled():
            work.exception()  # nobody else will ask for it, and asyncio logs what nobody asked for


def current_task() -> asyncio.Future[Any]:
    return cast("asyncio.Future[Any]", asyncio.current_task())


class Bounded(Executor[Any]):
    """Stops at a number of fields, and knows which resolvers are still at work.

    graphql-core leaves some behind: the siblings of a field that failed at once run on after the answer, and those of
    a cancelled list or object are told to stop but not waited for.
    """

    def __init__(self, *args: Any, max_fields: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_fields = max_fields
        self._fields = 0
        self._working: Futures = set()

    def execute_collected_subfields(
        self, parent: Any, source: Any, path: Any, grouped_field_set: Mapping[str, Any], *args: Any
    ) -> Any:
        self._fields += len(grouped_field_set)
        if self._fields > self._max_fields:
            raise TooManyFieldsError(self._max_fields)
        return super().execute_collected_subfields(parent, source, path, cast("Any", grouped_field_set), *args)

    def handle_field_error(self, raw_error: Exception, *args: Any) -> None:
        if isinstance(raw_error, TooManyFieldsError):
            raise raw_error  # the end of the whole operation, where others only end their field
        super().handle_field_error(raw_error, *args)

    async def with_abort_signal(self, awaitable: Awaitable[Any]) -> Any:
        return await awaited(awaitable)

    async def complete_awaitable_value(self, *args: Any) -> Any:
        self._working.add(current_task())
        return await super().complete_awaitable_value(*args)

    async def complete_awaitable_list_item_value(self, *args: Any) -> Any:
        self._working.add(current_task())
        return await super().complete_awaitable_list_item_value(*args)

    async def settle(self) -> None:
        """Stop what still runs and wait until it has stopped."""
        await settle(lambda: self._working, lambda: self.background_futures)
