"""Processes of the run: starting a contestant, asking it one thing, ending it."""

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.contestants import Contestant
from benchmarks.peers.environments import Environments
from benchmarks.peers.ground import ROOT, Ground
from benchmarks.peers.operations import Operation, Request

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_ASK_SECONDS = 60.0
_POLL = 0.005


class ContestantError(Exception):
    """A contestant does not start, or does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Server:
    """A contestant that runs. `ready_after`: seconds from the start of its process to its first answer."""

    contestant: Contestant
    port: int
    pid: int
    ready_after: float

    def ask(self, operation: Operation, token: str) -> Any:
        """The data of the answer; `ContestantError` where there is another one."""
        status, body = _ask(self.port, self.contestant.dialect.request(operation), token)
        answer = json.loads(body) if status == 200 else None
        if answer is None or "errors" in answer:
            raise ContestantError(f"{self.contestant.key}, {operation.key}: {status} {body[:500]!r}")
        return self.contestant.dialect.data(operation, answer)


@contextmanager
def serving(
    contestant: Contestant, ground: Ground, environments: Environments, first: Operation, token: str
) -> Iterator[Server]:
    """The contestant, from its first answer on until the block ends."""
    port = _free_port()
    log = ground.folder / f"{contestant.key}.log"
    began = time.monotonic()
    with log.open("wb") as errors:
        # What the product logs of each request is written, as in production, and read by nobody.
        process = subprocess.Popen(  # noqa: S603 - no shell, and words of ours
            contestant.command(environments, port),
            cwd=ROOT,
            env=contestant.environment(ground),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        request = contestant.dialect.request(first)
        _await(lambda: process.poll() is not None or _answers(port, request, token), began + _START_SECONDS)
        if process.poll() is not None:
            raise ContestantError(f"{contestant.key} ended at its start:\n{log.read_text()[-2000:]}")
        yield Server(contestant, port, process.pid, time.monotonic() - began)
    finally:
        _end(process)


def _await(done: Callable[[], bool], deadline: float) -> None:
    while not done():
        if time.monotonic() > deadline:
            raise ContestantError("A contestant was not ready in time.")
        time.sleep(_POLL)


def _answers(port: int, request: Request, token: str) -> bool:
    try:
        _ask(port, request, token)
    except OSError:
        return False
    return True


def _ask(port: int, request: Request, token: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(request.method, request.path, request.body or None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
