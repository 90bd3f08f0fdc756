"""Load on one server: wrk where it is installed, else a small client of ours, each in a process of its own."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.ground import ROOT
from benchmarks.peers.operations import Request

CONNECTIONS = 16
COUNTER = "00000000"
"""Digits in a document that are counted up, so that each is another one."""
_HERE = Path(__file__).parent
_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Figures:
    """What the client saw: completed requests, failed ones among them, and latencies in milliseconds."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def generator() -> str:
    """The words for what makes the load."""
    return "wrk" if shutil.which("wrk") else "a client of ours on asyncio (wrk is not installed)"


def write(path: Path, request: Request, port: int, tokens: Sequence[str]) -> None:
    """The request as each of these people sends it, one after the other, each after its length."""
    head = f"{request.method} {request.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n"
    if request.body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n"
    with path.open("wb") as file:
        for token in tokens:
            text = f"{head}Authorization: Bearer {token}\r\n\r\n".encode() + request.body
            file.write(f"{len(text)}\n".encode() + text)


def run(path: Path, port: int, seconds: float, counted_from: int | None = None) -> Figures:
    """The load of the requests in `path` for so long, whole seconds with wrk, on connections that are kept."""
    words = [str(path), *([] if counted_from is None else [str(counted_from)])]
    if shutil.which("wrk"):
        options = ("--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{max(1, round(seconds))}s")
        command = ["wrk", *options, "--timeout", "20s", "--script", str(_HERE / "rotate.lua")]
        command += [f"http://127.0.0.1:{port}", "--", *words]
    else:
        command = [sys.executable, "-m", "benchmarks.peers.client", str(port), str(seconds), *words]
    ended = subprocess.run(  # noqa: S603 - no shell, and words of ours
        command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + _GRACE_SECONDS, check=True
    )
    [line] = [line for line in ended.stdout.splitlines() if line.startswith("figures ")]
    requests, micros, failed, p50, p99 = map(int, line.split()[1:])
    return Figures(requests, micros / 1e6, failed, p50 / 1e3, p99 / 1e3)
