"""The client that makes load where there is no wrk: a process that sends the requests of a file and prints figures."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers.load import CONNECTIONS, COUNTER


def read(path: Path) -> list[bytes]:
    """The requests of a file as `load.write` makes it."""
    requests = []
    with path.open("rb") as file:
        while length := file.readline():
            requests.append(file.read(int(length)))
    return requests


def turns(requests: Sequence[bytes], counted_from: int | None) -> Iterator[bytes]:
    """One after the other, for ever; counted up where `counted_from` says so."""
    number = 0
    while True:
        number += 1
        text = requests[number % len(requests)]
        counted = f"{(counted_from or 0) + number:08}".encode()
        yield text if counted_from is None else text.replace(COUNTER.encode(), counted, 1)


async def _send(port: int, requests: Iterator[bytes], until: float, latencies: list[float]) -> int:
    """How many failed of those that one connection sends."""
    failed = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (began := time.perf_counter()) < until:
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        latencies.append(time.perf_counter() - began)
        failed += not head.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3"))
    writer.close()
    return failed


async def load(port: int, seconds: float, path: Path, counted_from: int | None) -> str:
    """The line of figures, as wrk's script prints it."""
    requests, latencies, began = turns(read(path), counted_from), list[float](), time.perf_counter()
    failed = await asyncio.gather(*(_send(port, requests, began + seconds, latencies) for _ in range(CONNECTIONS)))
    took, ordered = time.perf_counter() - began, sorted(latencies)
    half, most = (ordered[len(ordered) * share // 100] * 1e6 for share in (50, 99))
    return f"figures {len(ordered)} {took * 1e6:.0f} {sum(failed)} {half:.0f} {most:.0f}"


def main(arguments: Sequence[str]) -> None:
    port, seconds, path, *counted = arguments
    line = asyncio.run(load(int(port), float(seconds), Path(path), int(counted[0]) if counted else None))
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
