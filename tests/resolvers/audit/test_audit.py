"""The public audit of GraphQL over HTTP (npm: graphql-http), every one of its checks."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.resolvers.graphql_app import Probe, make_app, served

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", "audit.mjs", ".npmrc")
NPM_SECONDS = 120


async def run(*command: str, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), NPM_SECONDS)
    assert process.returncode == 0, f"{' '.join(command)}: {err.decode()}"
    return out.decode()


async def install(folder: Path) -> None:
    """The locked packages, once for each state of the lock file."""
    lock = folder / "package-lock.json"
    fresh = not lock.exists() or lock.read_bytes() != (HERE / lock.name).read_bytes()
    for name in FILES:
        shutil.copyfile(HERE / name, folder / name)
    if fresh or not (folder / "node_modules" / ".package-lock.json").exists():
        await run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="Node and npm are not installed")
async def test_every_audit_passes(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("graphql-http-audit")
    await install(folder)
    async with served(make_app(Probe())) as port:
        output = await run("node", "audit.mjs", f"http://127.0.0.1:{port}/graphql", cwd=folder)
    results = json.loads(output)
    assert len(results) >= 61
    assert [result for result in results if result["status"] != "ok"] == []
