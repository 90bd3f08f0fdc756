"""What a run was made with: the machine, programs and libraries, by their versions."""

import json
import os
import platform
import re
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers import load
from benchmarks.peers.dataset import Scale

_HERE = Path(__file__).parent
_OURS = (
    "strawberry-graphql",
    "graphql-core",
    "starlette",
    "uvicorn",
    "uvloop",
    "sqlalchemy",
    "asyncpg",
    "pyjwt",
    "orjson",
)
_PYTHON = ("ariadne", "fastapi")


def facts(scale: Scale, needs: Collection[str], postgres: str) -> list[str]:
    """A line for each kind."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = [f"{name} {version(name)}" for name in _OURS]
    if "python" in needs:
        pinned = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", (_HERE / "requirements.txt").read_text(), re.MULTILINE))
        libraries += [f"{name} {pinned[name]}" for name in _PYTHON]
    lines = [
        f"Machine: {os.cpu_count()} cores, {gibibytes:.0f} GiB.",
        f"Data: {scale.users:,} users, {scale.scans:,} scans, {scale.portfolios:,} portfolios, "
        f"{scale.positions:,} positions, all in Postgres' memory.",
        f"Load: {load.generator()}.",
        f"Python {platform.python_version()}, Postgres {postgres}; {', '.join(libraries)}.",
    ]
    if "node" in needs:
        package = json.loads((_HERE / "node" / "package.json").read_text())
        node = next(iter(package["optionalDependencies"].values()))
        lines.append(
            f"Node {node}; {', '.join(f'{name} {pinned}' for name, pinned in package['dependencies'].items())}."
        )
    return lines
