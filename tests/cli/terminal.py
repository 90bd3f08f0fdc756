"""A command on a terminal, as a person sees it."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def on_terminal(
    arguments: list[str], environment: Mapping[str, str], answers: Mapping[bytes, bytes] | None = None
) -> tuple[int, bytes]:
    """The exit code, and everything that was shown; each text of `answers` is answered when it shows."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cli", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown, open_questions = b"", dict(answers or {})
    while select.select([ours], [], [], 20)[0]:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        for question in [question for question in open_questions if question in shown]:
            os.write(ours, open_questions.pop(question))
    os.close(ours)
    return process.wait(10), shown
