"""Working on files that somebody has sent: who may when, and in threads. What is in them is for the reader to say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar
from uuid import UUID

from resolvers.turns import Turns

AT_ONCE = 2
"""Files that a process works on at the same time: each keeps a processor busy."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_PLACES = asyncio.Semaphore(AT_ONCE)
_TURNS = Turns(1)


@asynccontextmanager
async def turn(account: UUID) -> AsyncIterator[None]:
    """A place to work on a file, from reading it to what it leads to in the database. Waiting holds nothing.

    An account has one at a time, so its files leave a place to those of others.
    """
    async with _TURNS.of(account), _PLACES:
        yield


async def in_thread(
    reader: Callable[_Parameters, _Result], *arguments: _Parameters.args, **named: _Parameters.kwargs
) -> _Result:
    """What `reader` makes of its arguments, in a thread, so that others are served meanwhile; within a turn.

    A thread cannot be stopped: who is cancelled waits for its end, and so keeps the turn until then.
    """
    work = asyncio.create_task(asyncio.to_thread(reader, *arguments, **named))
    try:
        return await asyncio.shield(work)
    finally:
        await asyncio.wait([work])
