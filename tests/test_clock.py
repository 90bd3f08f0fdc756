"""The clock: moved in one process, and in all that follow a file."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import clock
from settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DAY = timedelta(days=1)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    before = clock._file
    yield tmp_path / "clock"
    clock.follow(before)


def ahead() -> timedelta:
    return clock.now() - datetime.now(UTC)


def test_those_who_follow_are_moved_and_put_back(file: Path) -> None:
    clock.follow(file)
    assert abs(ahead()) < timedelta(seconds=5)
    clock.move_followers(file, 12 * DAY)
    assert abs(ahead() - 12 * DAY) < timedelta(seconds=5)
    clock.move(DAY)
    assert abs(ahead() - 13 * DAY) < timedelta(seconds=5)
    clock.reset()
    clock.move_followers(file, timedelta())
    assert abs(ahead()) < timedelta(seconds=5)


def test_who_does_not_follow_is_not_moved(file: Path) -> None:
    clock.follow(None)
    clock.move_followers(file, 12 * DAY)
    assert abs(ahead()) < timedelta(seconds=5)


def test_another_process_is_moved_while_it_runs(file: Path) -> None:
    program = (
        "import sys, pathlib, clock\n"
        "clock.follow(pathlib.Path(sys.argv[1]))\n"
        "for _ in sys.stdin: print(clock.now().timestamp(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(file)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        seen = []
        for by in (timedelta(), 40 * DAY):
            clock.move_followers(file, by)
            time.sleep(2 * clock._LOOK_EVERY)
            process.stdin.write("now\n")
            process.stdin.flush()
            seen.append(float(process.stdout.readline()))
        process.stdin.close()
    assert 40 * DAY.total_seconds() <= seen[1] - seen[0] < 40 * DAY.total_seconds() + 10


def command(home: Path, *arguments: str, environment: str = "test") -> subprocess.CompletedProcess[str]:
    variables = {"GATEHOUSE_HOME": str(home), "ENVIRONMENT": environment, "PATH": ""}
    given = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "SUPABASE_URL": "https://p.supabase.co"}
    return subprocess.run(
        [sys.executable, "-m", "cli", "clock", *arguments],
        cwd=ROOT,
        env=variables | given,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_moves_and_resets(tmp_path: Path) -> None:
    home = tmp_path / "home"
    moved = command(home, "--to", "2030-01-01T00:00:00")
    assert (moved.stdout[:11], moved.returncode) == ("2030-01-01 ", 0)
    assert command(home, "--forward", "36h").stdout.startswith("2030-01-02 12:")
    assert command(home).stdout.startswith("2030-01-02 12:")
    too_far = command(home, "--forward", "99999d")
    assert (too_far.returncode, too_far.stdout) == (1, "")
    assert "century" in too_far.stderr
    command(home, "--reset")
    assert clock.moved(home / "clock") == timedelta()


def test_in_production_nobody_moves_it(tmp_path: Path) -> None:
    refused = command(tmp_path, "--forward", "1d", environment="production")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "in production nobody moves the clock" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_production_follows_nothing() -> None:
    settings = Settings.model_construct(environment="production")
    assert settings.clock_file is None
    assert Settings.model_construct(environment="development").clock_file == Path(".gatehouse/clock")
