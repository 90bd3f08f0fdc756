"""What the source of a plan calls for all that is not usual: other values, awaitables, errors."""

import sys
from collections.abc import Awaitable
from types import CoroutineType
from typing import Any

from strawberry.execution import optimized_is_awaitable as is_awaitable

from engine.bounded import awaited
from engine.plans.places import Place
from engine.plans.running import Run, Waiting
from engine.plans.selections import Slot

Coroutine = CoroutineType
"""The class of what a step gives for an answer that is still to come; no answer is of this class."""


def offer(value: Any, slot: Slot, place: Place, run: Run, waiting: Waiting) -> Any:
    """The answer to any value, or a coroutine that leads to it, which is then waited for."""
    completed = complete(value, slot, place, run)
    if type(completed) is Coroutine:
        waiting.append((place[1], completed))
    return completed


def wait(completed: Awaitable[Any], slot: Slot, place: Place, run: Run, waiting: Waiting) -> Any:
    """A coroutine for an object or list that waits for something in it."""
    coroutine = run.made(finish(completed, slot, place, run))
    waiting.append((place[1], coroutine))
    return coroutine


def fail(slot: Slot, place: Place, run: Run) -> None:
    """Take the error that is being handled as that of a place; it goes on where the place must not be null."""
    error = sys.exception()
    assert isinstance(error, Exception)
    run.fail(error, slot, place)


def complete(value: Any, slot: Slot, place: Place, run: Run) -> Any:
    """The answer to any value, or a coroutine that leads to it."""
    if is_awaitable(value):
        return run.made(_complete_later(run.made(value), slot, place, run))
    completed = slot.complete(value, place, run)
    return run.made(finish(completed, slot, place, run)) if is_awaitable(completed) else completed


async def finish(completed: Awaitable[Any], slot: Slot, place: Place, run: Run) -> Any:
    """Wait for what is in the value; an error that comes up from there ends at the first place that may be null."""
    try:
        return await completed
    except Exception as error:  # noqa: BLE001 - whatever a resolver raises becomes an error of the answer
        run.fail(error, slot, place)


def gathered(result: Any, waiting: Waiting, run: Run) -> Any:
    """A coroutine for the object or list, once everything in it is there."""
    return run.made(_gathered(result, waiting, run))


async def _gathered(result: Any, waiting: Waiting, run: Run) -> Any:
    """What is alone is awaited here, without a task."""
    if len(waiting) == 1:
        ((key, awaitable),) = waiting
        result[key] = await awaitable
        return result
    values = await run.together(awaitable for _key, awaitable in waiting)
    for (key, _awaitable), value in zip(waiting, values, strict=True):
        result[key] = value
    return result


async def _complete_later(awaitable: Awaitable[Any], slot: Slot, place: Place, run: Run) -> Any:
    try:
        completed = slot.complete(await awaited(awaitable), place, run)
        if is_awaitable(completed):
            completed = await completed
    except Exception as error:  # noqa: BLE001 - whatever a resolver raises becomes an error of the answer
        run.fail(error, slot, place)
        return None
    return completed
