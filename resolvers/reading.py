"""Reading files that somebody has sent, in threads: who may when. What is in them is for the reader to say."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from uuid import UUID

from resolvers.turns import Turns

AT_ONCE = 2
"""Files that a process reads at the same time: each keeps a processor busy."""

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_PLACES = asyncio.Semaphore(AT_ONCE)
_TURNS = Turns(1)


async def read(
    account: UUID,
    reader: Callable[_Parameters, _Result],
    *arguments: _Parameters.args,
    **named: _Parameters.kwargs,
) -> _Result:
    """What `reader` makes of its arguments, in a thread, so that others are served meanwhile.

    An account reads one at a time, so its files leave a place to those of others. Waiting holds nothing. A thread
    cannot be stopped: who is cancelled waits for its end, and keeps the place until then.
    """
    async with _TURNS.of(account), _PLACES:
        work = asyncio.create_task(asyncio.to_thread(reader, *arguments, **named))
        try:
            return await asyncio.shield(work)
        finally:
            await asyncio.wait([work])
