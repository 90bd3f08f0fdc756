"""One run of a plan: its errors, the positions they made null, its tasks, and how many fields it may still answer."""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from types import CoroutineType
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfoHelpers, located_error
from graphql.execution.values import VariableValues
from strawberry.execution import optimized_is_awaitable as is_awaitable

from engine.bounded import Futures, TooManyFieldsError, settle
from engine.plans.places import Place, keys_of
from engine.plans.selections import Ahead, Field, Operation, Slot

Waiting = list[tuple[Any, Awaitable[Any]]]
"""Of an object or list: what is still to come, by its key or index."""


class Run:
    """What one request has beside its plan. The steps of the plan find here what they need of it."""

    __slots__ = (
        "_abandoned",
        "_made",
        "_nulled",
        "ahead",
        "ahead_of",
        "context",
        "errors",
        "extensions",
        "fields_left",
        "max_fields",
        "operation",
        "root",
        "tasks",
        "variables",
    )

    def __init__(
        self,
        operation: Operation,
        root: object,
        context: object,
        *,
        variables: VariableValues,
        extensions: Any,
        max_fields: int,
    ) -> None:
        self.operation = operation
        self.root = root
        self.context = context
        self.variables = variables
        self.extensions = extensions
        self.max_fields = max_fields
        self.fields_left = max_fields
        self.errors: list[GraphQLError] = []
        self.ahead: Ahead | None = None
        self.ahead_of: Field | None = None
        self._made: list[Any] = []
        self._nulled: set[Place | None] = set()
        self.tasks: Futures = set()
        self._abandoned: Futures = set()

    def cut_off(self) -> None:
        """End the operation: it has more fields than it may."""
        raise TooManyFieldsError(self.max_fields)

    def fail(self, error: Exception, slot: Slot, place: Place) -> None:
        """Null for a position that may be null, after its error is noted; else raise it, for the position around."""
        if isinstance(error, TooManyFieldsError):
            raise error
        located = located_error(error, slot.nodes, keys_of(place))
        if not slot.nullable:
            raise located
        self.note(located, place)

    def note(self, error: GraphQLError, place: Place | None) -> None:
        """Keep the error that made this place null, unless the place is within one that is null already."""
        around = place
        while around is not None:
            if around in self._nulled:
                return
            around = around[0]
        if None not in self._nulled:
            self._nulled.add(place)
            self.errors.append(error)

    async def together(self, awaitables: Iterable[Awaitable[Any]]) -> list[Any]:
        """The results of all; the first error stops the others and comes out when they have stopped."""
        tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
        self.tasks.update(tasks)
        try:
            return await asyncio.gather(*tasks)
        except Exception:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def abandon(self, waiting: Waiting, unread: Iterator[Any] | None = None) -> None:
        """Nobody waits for these any more, nor for what comes in the rest of the list: an error made them null."""
        left = [awaitable for _key, awaitable in waiting]
        if unread is not None:
            left += _awaitables_of(unread)
        self.track(left)

    def track(self, values: Sequence[Any]) -> None:
        """Let the awaitables among the values run until the answer is ready."""
        started = [asyncio.ensure_future(value) for value in values if is_awaitable(value)]
        if started:
            self.tasks.update(started)
            self._abandoned.add(asyncio.gather(*started, return_exceptions=True))

    def made(self, awaitable: Any) -> Any:
        """Note what is to be awaited: where the run ends early, some of it may never be."""
        self._made.append(awaitable)
        return awaitable

    def close_unstarted(self) -> None:
        """Close the coroutines that nobody will start any more, or each would be warned of when it is collected."""
        for one in self._made:
            if isinstance(one, CoroutineType) and inspect.getcoroutinestate(one) == inspect.CORO_CREATED:
                one.close()

    def helpers(self) -> GraphQLResolveInfoHelpers:
        """What `info.async_helpers` offers to resolvers."""
        return GraphQLResolveInfoHelpers(gather=self.together, track=self.track)

    async def settle(self) -> None:
        """Stop what still runs of its `tasks` and wait until it has stopped."""
        await settle(lambda: self.tasks, lambda: self._abandoned)


def _awaitables_of(unread: Iterator[Any]) -> list[Any]:
    found: list[Any] = []
    with contextlib.suppress(Exception):  # the list has failed already
        found.extend(item for item in unread if is_awaitable(item))
    return found
