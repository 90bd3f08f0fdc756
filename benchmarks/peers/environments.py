"""Where contestants that Gatehouse does not need are installed: for this run, below its folder, from locks."""

import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.servers import statements

_HERE = Path(__file__).parent
_NODE_SOURCES = _HERE / "node"
_SECONDS = 600


class InstallError(Exception):
    """A contestant cannot be installed here; the message says why."""


@dataclass(frozen=True, slots=True)
class Environments:
    """A virtual environment of Python, and a folder with Node and its packages."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "peers-venv" / "bin" / "python"

    @property
    def node_folder(self) -> Path:
        return self.folder / "peers-node"

    @property
    def node(self) -> Path:
        """The Node of the lock: the one that happens to be here may be too old."""
        [found] = self.node_folder.glob("node_modules/node-linux-*/bin/node")
        return found

    def install(self, needs: Collection[str]) -> None:
        """Install what is needed and not there yet; `InstallError` where that fails."""
        if "python" in needs and not self.python.exists():
            _run(sys.executable, "-m", "venv", str(self.python.parents[1]))
            options = ("--quiet", "--disable-pip-version-check", "--require-hashes")
            _run(str(self.python), "-m", "pip", "install", *options, "-r", str(_HERE / "requirements.txt"))
        if "node" in needs and not (self.node_folder / "node_modules").exists():
            shutil.copytree(_NODE_SOURCES, self.node_folder)
            shutil.copy(_HERE / "servers" / "peers.graphql", self.node_folder)
            (self.node_folder / "statements.json").write_text(json.dumps(statements.named()))
            _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=self.node_folder)


def has_npm() -> bool:
    return shutil.which("npm") is not None


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=_SECONDS)  # noqa: S603 - no shell, and words of ours
    except subprocess.CalledProcessError as error:
        raise InstallError(f"{' '.join(command[:4])} …: {error.stderr[-2000:]}") from None
