"""Commands of a client against the real application on loopback: as a person runs them, but in this process."""

import asyncio
import io
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest
from sqlalchemy import update
from starlette.applications import Starlette
from structlog.testing import capture_logs

import cli
from db.models import Base
from db.session import Database
from tests.resolvers.graphql_app import served


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What `--json` told on stderr."""
        return [orjson.loads(line)["error"] for line in self.err.splitlines()]

    @property
    def said(self) -> str:
        """Everything that was printed, in one line."""
        return " ".join((self.out + self.err).split())


class Gatehouse(Protocol):
    """`await gatehouse("sync", "push", …, stdin=…, env={…})`."""

    def __call__(
        self, *arguments: object, stdin: str | bytes = "", env: dict[str, str] | None = None
    ) -> Awaitable[Done]: ...


@pytest.fixture(scope="session")
async def served_url(app: Starlette) -> AsyncIterator[str]:
    """The address of the application under test, on a real server."""
    async with served(app) as port:
        yield f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class Config:
    """The file of profiles, as it lies there."""

    path: Path

    def exists(self) -> bool:
        return self.path.exists()

    def text(self) -> str:
        return self.path.read_text()

    def beside(self) -> list[str]:
        """What the folder has."""
        return [path.name for path in self.path.parent.iterdir()]

    def modes(self) -> tuple[int, int]:
        """Who may do what with the file, and with its folder."""
        return stat.S_IMODE(self.path.stat().st_mode), stat.S_IMODE(self.path.parent.stat().st_mode)

    def write(self, text: str, mode: int = 0o600) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text)
        self.path.chmod(mode)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path / "config" / "gatehouse" / "sync.json")


@pytest.fixture
def gatehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Gatehouse]:
    """No settings of a server, no database, and a home of its own."""
    here = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    monkeypatch.chdir(tmp_path)

    def command(arguments: tuple[str, ...]) -> int:
        monkeypatch.setattr(sys, "argv", ["gatehouse", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0)

    async def run(*arguments: object, stdin: str | bytes = "", env: dict[str, str] | None = None) -> Done:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(os, "environ", here | (env or {}))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        capsys.readouterr()
        # In a thread: the server answers on this one.
        code = await asyncio.to_thread(command, tuple(map(str, arguments)))
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Done(code, told.out, told.err)

    # What the server logs is not what the command prints.
    with capture_logs():
        yield run


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long a command would have waited, attempt by attempt; it does not."""
    seen: list[float] = []
    monkeypatch.setattr("cli.sync.client.sleep", seen.append)
    return seen


Change = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session")
def change(database: Database) -> Change:
    """`await change(Model, where, column=value)`."""

    async def run(model: type[Base], where: Any, **columns: Any) -> None:
        async with database.transaction() as session:
            await session.execute(update(model).where(where).values(**columns))

    return run


Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("name", text)`: the path of a report."""

    def written(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return written
