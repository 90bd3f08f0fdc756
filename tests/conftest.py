"""One throwaway Postgres for all workers, one cloned database for each, the application, and people to ask as."""

import asyncio
import base64
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import delete, event, inspect, select
from starlette.applications import Starlette

import clock
from app import create_app
from auth.local_issuer import LocalIssuer
from db import migrate
from db.embedded import EmbeddedPostgres
from db.models import Base, ChatMessage
from db.reads import ReadPool
from db.session import Bound, Database, Session
from domain.chat_replies import Replies
from settings import Settings
from tests.gql import Gql
from tests.people import People

TEMPLATE = "gatehouse_template"
WEBHOOK_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BETA_CODE = "2026-Founders-Beta"


def on(url: str, database: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


class _Cluster:
    """The server of one run, started by the process that hands out the tests."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gatehouse-tests-"))
        self.folder.chmod(0o755)
        self.postgres = EmbeddedPostgres(self.folder / "pg", max_connections=300, durable=False)
        self.url = self.postgres.start()
        asyncio.run(self._make_template())

    async def _make_template(self) -> None:
        await _execute(self.url, f"create database {TEMPLATE}")
        await migrate.migrate(on(self.url, TEMPLATE))

    def remove(self) -> None:
        self.postgres.stop()
        self.postgres.remove()
        shutil.rmtree(self.folder)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


_CLUSTER = pytest.StashKey[_Cluster]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.stash[_CLUSTER] = _Cluster()


def pytest_configure_node(node: Any) -> None:
    node.workerinput["postgres"] = node.config.stash[_CLUSTER].url


def pytest_unconfigure(config: pytest.Config) -> None:
    cluster = config.stash.get(_CLUSTER, None)
    if cluster is not None:
        cluster.remove()


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> str:
    """The URL of the run's server, as its superuser."""
    worker = getattr(request.config, "workerinput", None)
    return str(worker["postgres"]) if worker else request.config.stash[_CLUSTER].url


@pytest.fixture(scope="session")
async def database_url(postgres: str, worker_id: str) -> str:
    """A migrated database of this worker's own."""
    name = f"tests_{worker_id}"
    await _execute(postgres, f"create database {name} template {TEMPLATE}")
    # The tables are there; the application's role is another one in each database.
    await migrate.migrate(on(postgres, name))
    return on(postgres, name)


@pytest.fixture
async def scratch_url(postgres: str) -> AsyncIterator[str]:
    """An empty database for one test."""
    name = f"scratch_{uuid.uuid4().hex}"
    await _execute(postgres, f"create database {name}")
    yield on(postgres, name)
    await _execute(postgres, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def settings(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        _env_file=None,
        environment="test",
        gatehouse_home=tmp_path_factory.mktemp("home"),
        database_url=SecretStr(database_url),
        allowed_origins=("https://app.example.test",),
        clerk_issuer="https://clerk.test",
        clerk_webhook_secret=SecretStr(WEBHOOK_SECRET),
        beta_invite_code=SecretStr(BETA_CODE),
        api_key_encryption_key=SecretStr(base64.b64encode(bytes(range(32))).decode()),
        dev_issuer_enabled=True,
    )


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[Starlette]:
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture(scope="session")
def database(app: Starlette) -> Database:
    found: Database = app.state.database
    return found


@pytest.fixture(scope="session")
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://gatehouse.test") as opened:
        yield opened


@pytest.fixture(scope="session")
def issuer(settings: Settings) -> LocalIssuer:
    return LocalIssuer(settings.gatehouse_home / "issuer")


@pytest.fixture(scope="session")
def gql(client: httpx.AsyncClient) -> Gql:
    """`await gql(who, document, **variables)`."""
    return Gql(client)


@pytest.fixture(scope="session")
def make(gql: Gql, issuer: LocalIssuer, database: Database) -> People:
    """`await make.person()`: an account of the test's own."""
    return People(gql, issuer, database)


Rows = Callable[..., Awaitable[Sequence[Any]]]


@pytest.fixture(scope="session")
def rows(database: Database) -> Rows:
    """`await rows(Model, *where)`: what is stored, in the order it came."""

    async def read(model: type[Base], *where: Any) -> Sequence[Any]:
        order = inspect(model).primary_key
        async with database.transaction() as session:
            return (await session.scalars(select(model).where(*where).order_by(*order))).all()

    return read


_BEHIND = ("replies", "changes", "replica")


@pytest.fixture
def statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The SQL that runs during the test; clear it where the counting begins."""
    seen: list[str] = []
    fetch, prepared = ReadPool.fetch, Session.rows

    async def note_read(pool: ReadPool, read: Bound) -> Sequence[Any]:
        note(None, None, read.prepared.sql)
        return await fetch(pool, read)

    async def note_prepared(session: Session, statement: Bound) -> Sequence[Any]:
        if session.driver is not None:
            note(None, None, statement.prepared.sql)
        return await prepared(session, statement)

    monkeypatch.setattr(ReadPool, "fetch", note_read)
    monkeypatch.setattr(Session, "rows", note_prepared)

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        task = asyncio.current_task()
        # What runs behind requests comes at any moment.
        if task is None or task.get_name() not in _BEHIND:
            seen.append(statement)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
async def nobody_answers(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Answers of the chat stay in the queue, so that nothing is written behind the test; they are gone after it."""

    async def nothing(_replies: Replies) -> None:
        pass

    for work in ("_take", "_extend", "_settle_overdue"):
        monkeypatch.setattr(Replies, work, nothing)
    yield
    async with database.transaction() as session:
        await session.execute(delete(ChatMessage).where(ChatMessage.finished_at.is_(None)))


@pytest.fixture(autouse=True)
def _clock_is_put_back() -> Iterator[None]:
    yield
    clock.reset()
