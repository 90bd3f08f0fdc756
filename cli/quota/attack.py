"""The attack of `gatehouse quota prove`: its processes, their answers, the verdict. What they do is in worker."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import orjson

from cli.quota.plan import LIMIT, SPENDERS, Round, Share, Step, rounds
from db.proving import ATTACKS
from db.scratch import Scratch

ROUND_SECONDS = 120
"""A round takes about one; a worker that answers nothing for so long hangs."""
MOST_AT_ONCE = 10
_SPARE_CONNECTIONS = 10
_WORKER = Path(__file__).with_name("worker.py").resolve()

_EXACTLY = f"of {SPENDERS} that spend at once on a limit of {LIMIT}, exactly {LIMIT} are granted"
_NOTHING_LOST = "what was answered as granted or returned is in the ledger"
_AS_ASKED = "nothing failed, and the database let no attack through"


@dataclass
class Verdict:
    """What was tried, and how often each thing that must hold did not."""

    seed: int
    rounds: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not any(self.wrong.values())


@dataclass(frozen=True)
class Orders:
    """What an operator asks for. `direct_url`: where `url` is a pooler's. `rounds` None: as many as `seconds` allow."""

    url: str
    direct_url: str | None
    processes: int
    seed: int
    seconds: float
    rounds: int | None
    sabotage: Sequence[str] = ()  # statements that break what is to be proved, so that tests see it found


async def attack(orders: Orders, progress: Callable[[float], None]) -> Verdict:
    """Run it in a scratch schema, which is gone afterwards however it ends. `progress`: how much is done, of 1."""
    async with AsyncExitStack() as stack:
        scratch = Scratch(orders.direct_url or orders.url)
        stack.push_async_callback(scratch.remove)
        await scratch.make()
        await scratch.execute(orders.sabotage)
        setup = {
            "url": orders.url,
            "schema": scratch.name,
            "pooled": orders.direct_url is not None,
            "at_once": await _at_once(scratch, orders.processes),
        }
        workers = [await stack.enter_async_context(_Process(setup)) for _ in range(orders.processes)]
        return await _Attack(orders, scratch, workers, progress).run()


async def _at_once(scratch: Scratch, processes: int) -> int:
    """How many transactions each process may have open: others need connections too."""
    left = await scratch.connections_left() - _SPARE_CONNECTIONS
    return max(1, min(MOST_AT_ONCE, left // processes))


class _Attack:
    def __init__(
        self, orders: Orders, scratch: Scratch, workers: "list[_Process]", progress: Callable[[float], None]
    ) -> None:
        self._orders, self._scratch, self._workers = orders, scratch, workers
        self._verdict = Verdict(orders.seed)
        self._answered: dict[str, set[UUID]] = {"granted": set(), "returned": set()}
        self._begun = time.monotonic()
        self._progress = progress

    async def run(self) -> Verdict:
        for round_ in rounds(self._orders.seed, self._orders.processes, len(ATTACKS)):
            await self._round(round_)
            if self._verdict.rounds == 1:
                self._verdict.wrong[_EXACTLY] = abs(self._verdict.outcomes["granted"] - LIMIT)
            if self._done() >= 1 or not self._verdict.holds:
                break
        return self._verdict

    def _done(self) -> float:
        """How much of what was asked for is done, of 1."""
        if self._orders.rounds:
            return self._verdict.rounds / self._orders.rounds
        return (time.monotonic() - self._begun) / max(self._orders.seconds, 0.001)

    async def _round(self, round_: Round) -> None:
        await self._scratch.add_accounts(round_.accounts)
        pairs = zip(self._workers, round_.shares, strict=True)
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await asyncio.gather(*(worker.work(round_, share, self._note) for worker, share in pairs))
        except TimeoutError:
            raise ValueError(
                f"a round did not end within {ROUND_SECONDS} seconds; is the database overloaded?"
            ) from None
        self._verdict.rounds += 1
        wrong = self._verdict.wrong
        wrong.update(await self._scratch.wrong())
        for outcome, kind in (("granted", "spend"), ("returned", "return")):
            wrong[_NOTHING_LOST] += await self._scratch.missing(kind, self._answered[outcome])
            self._answered[outcome].clear()
        wrong[_AS_ASKED] += 0
        self._verdict.outcomes["killed"] = sum(worker.killed for worker in self._workers)

    def _note(self, step: Step, answer: dict[str, Any]) -> None:
        outcome = answer["outcome"]
        self._verdict.outcomes[outcome] += 1
        self._progress(self._done())
        if outcome == "failed":
            self._verdict.wrong[_AS_ASKED] += 1
            self._verdict.reasons.append(answer["reason"])
        elif outcome == "granted":
            self._answered["granted"].add(step.id)
        elif outcome == "returned":
            self._answered["returned"].add(UUID(answer["work"]))


class _Process:
    """A worker's process; started anew when it was killed, and given what it has not answered."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.killed = 0
        self._setup = setup
        self._process: asyncio.subprocess.Process | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._errors.close()

    async def work(self, round_: Round, share: Share, note: Callable[[Step, dict[str, Any]], None]) -> None:
        """Have a share done, and every answer noted. A step whose answer was lost with the process is asked again."""
        pending = {str(step.id): step for step in share.steps}
        kills = list(share.kills)
        order = {"limits": round_.limits, "begins": round_.begins}
        while pending:
            process = self._process or await self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.writelines(orjson.dumps(line) + b"\n" for line in (order, *pending.values()))
                await process.stdin.drain()
            while pending and (line := await process.stdout.readline()):
                answer = orjson.loads(line)
                note(pending.pop(answer["id"]), answer)
                # While others of its steps are under way.
                if kills and len(share.steps) - len(pending) > kills[0]:
                    del kills[0]
                    process.kill()
                    self.killed += 1
            if pending:
                await self._ended(process)

    async def _start(self) -> asyncio.subprocess.Process:
        self._process = await asyncio.create_subprocess_exec(
            # As a file: as a module it would load all commands before it, each time.
            *(sys.executable, "-P", str(_WORKER)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            # Ctrl-C is for the one who has to clean up; workers end with their input.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(_WORKER.parents[2])},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(self._setup) + b"\n")
        return self._process

    async def _ended(self, process: asyncio.subprocess.Process) -> None:
        """Forget a process that was killed; `ValueError` when it ended by itself."""
        self._process = None
        if await process.wait() != -signal.SIGKILL:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            raise ValueError(f"a worker ended by itself; the last it said: {said[-1]}")
