"""Lists that are not of the class `list`: what counts as one, and those whose items come one after the other."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from graphql import GraphQLError, located_error
from graphql.pyutils import is_iterable

from engine.plans.places import Place, keys_of
from engine.plans.running import Run, Waiting
from engine.plans.selections import Slot
from engine.plans.steps import gathered, offer


def is_async(value: Any) -> bool:
    return hasattr(value, "__aiter__")


def check_iterable(value: Any, slot: Slot) -> None:
    """Raise the error of a field that has something else where a list should be."""
    if not is_iterable(value):
        field = slot.field
        raise GraphQLError(f"Expected Iterable, but did not find one for field '{field.parent}.{field.name}'.")


def async_list(value: Any, slot: Slot, around: Place, run: Run) -> Any:
    """The coroutine of a list whose items are awaited one after the other; `slot` is that of its items."""
    return _collect(aiter(value), slot, around, run)


async def _collect(items: AsyncIterator[Any], slot: Slot, around: Place, run: Run) -> Any:
    results: list[Any] = []
    waiting: Waiting = []
    try:
        while True:
            place = (around, len(results), None)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                break
            except Exception as error:
                raise located_error(error, slot.nodes, keys_of(around)) from error
            try:
                completed = offer(item, slot, place, run, waiting)
            except Exception as error:  # noqa: BLE001 - whatever comes up becomes an error of the answer
                run.fail(error, slot, place)
                completed = None
            results.append(completed)
    except Exception:
        close = getattr(items, "aclose", None)
        if close is not None:
            with contextlib.suppress(Exception):
                await close()
        run.abandon(waiting)
        raise
    return await gathered(results, waiting, run) if waiting else results
