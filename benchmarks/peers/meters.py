"""What Linux knows of processes: CPU time, memory, and what others take of the machine meanwhile."""

import os
import resource
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds so far: of the server, of all processes of Postgres, of this run itself, and of everything."""

    server: float
    postgres: float
    own: float
    machine: float

    def since(self, before: "Used") -> "Used":
        return Used(
            self.server - before.server,
            self.postgres - before.postgres,
            self.own - before.own,
            self.machine - before.machine,
        )

    @property
    def foreign(self) -> float:
        """What others took: other programs, and of a virtual machine its host."""
        return max(0.0, self.machine - self.server - self.postgres - self.own)


def used(server: int, postmaster: int) -> Used:
    """Now. What the load took counts as ours once its process has ended."""
    ours = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the first line: user, nice, system, idle, iowait, irq, softirq, steal (man 5 proc_stat).
    ticks = [int(word) for word in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy = sum(ticks[:3]) + ticks[7]
    return Used(
        _cpu(server),
        _cpu(postmaster, with_ended_children=True) + sum(_cpu(child) for child in _children({postmaster})),
        sum(usage.ru_utime + usage.ru_stime for usage in ours),
        busy / _TICK,
    )


def memory(pid: int) -> float:
    """What a process has in memory, in MiB."""
    return _status(pid, "VmRSS")


def peak_memory(pid: int) -> float:
    """The most that it ever had, in MiB."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> float:
    lines = (_PROC / str(pid) / "status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024


def _stat(pid: int) -> list[str]:
    """The fields after the command, which may hold blanks; the state is the first of them."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _cpu(pid: int, *, with_ended_children: bool = False) -> float:
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11 : 15 if with_ended_children else 13])) / _TICK


def _children(parents: Collection[int]) -> list[int]:
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                if int(_stat(int(folder.name))[1]) in parents:
                    found.append(int(folder.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def parent(pid: int) -> int:
    return int(_stat(pid)[1])
