"""`gatehouse sync push`: reports to the server, one after the other, and what came of them."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.output import plain
from cli.sync import profiles, reports
from cli.sync.answers import Answer
from cli.sync.client import Client
from cli.sync.failures import Failure, dumped, reporting, say, tell
from cli.sync.options import AsJson, Insecure, ProfileName, Severity, Url
from cli.sync.scans import FIELDS, Scan, which_are_new

_CREATE = (
    "mutation($input: CreateScanInput!) { createScan(input: $input) "
    f"{{ created scans {{ {FIELDS} }} quota {{ used limit remaining resetsAt }} }} }}"
)


class _Payload(Answer):
    created: int
    scans: list[Scan | None]
    quota: dict[str, Any]


class _Created(Answer):
    create_scan: _Payload


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one file: what was answered, or why nothing was."""

    name: str
    payload: _Payload | None
    failure: Failure | None

    def scans(self) -> list[tuple[Scan, bool]]:
        """Each scan, and whether it is new; those that were deleted meanwhile are left out."""
        if self.payload is None:
            return []
        new = which_are_new(self.payload.scans, self.payload.created)
        return [(scan, new) for scan, new in zip(self.payload.scans, new, strict=True) if scan is not None]

    def shown(self) -> dict[str, Any]:
        """For programs."""
        if self.payload is None:
            return {"file": self.name, "error": self.failure and self.failure.as_json()}
        scans = [{**scan.shown(), "new": new} for scan, new in self.scans()]
        return {"file": self.name, "created": self.payload.created, "scans": scans, "quota": self.payload.quota}


def push(
    files: Annotated[list[str], typer.Argument(help="Reports in SARIF or Gatehouse's JSON; - for stdin.")],
    *,
    target: Annotated[str | None, typer.Option(help="What was scanned, such as a repository.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="What else to say, such as commit=…; repeatable.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Make new scans of reports that were pushed before.")] = False,
    fail_on: Annotated[
        Severity | None, typer.Option(case_sensitive=False, help="Exit with 1 for a finding at least so bad.")
    ] = None,
    retries: Annotated[int, typer.Option(min=0, max=20, help="How many further attempts.")] = 4,
    timeout: Annotated[float, typer.Option(min=1, max=600, help="Seconds for each attempt.")] = 60,
    profile: ProfileName = None,
    url: Url = None,
    insecure_http: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Push reports. All are tried; 1 if one of them failed, or has what --fail-on names."""
    said = {"target": target, "metadata": _metadata(metadata or []), "again": again}
    if files.count(reports.STDIN) > 1:
        raise typer.BadParameter("stdin can be read only once.", param_hint="FILE")
    with reporting(as_json=as_json):
        connection = profiles.connection(profile, url, insecure_http=insecure_http)
        outcomes = []
        with _bar() as bar, Client(connection, timeout=timeout, retries=retries, waiting=bar.waiting) as client:
            for place, name in enumerate(files):
                with bar.of(f"{name} ({place + 1} of {len(files)})") as sent:
                    outcome = _pushed(client, name, said, sent)
                outcomes.append(outcome)
                _tell(outcome, as_json=as_json)
    _end(outcomes, fail_on, as_json=as_json)


def _metadata(given: Sequence[str]) -> dict[str, str] | None:
    pairs = [one.partition("=") for one in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise typer.BadParameter("write KEY=VALUE, such as commit=1f2e3d.", param_hint="--metadata")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise typer.BadParameter("each key once.", param_hint="--metadata")
    return {name: value for name, _, value in pairs} or None


def _pushed(client: Client, name: str, said: dict[str, Any], sent: Callable[[float], None]) -> _Outcome:
    # One key for all attempts: an answer that got lost on its way back leads to no second scan.
    key, called = uuid.uuid4().hex, "stdin" if name == reports.STDIN else name
    try:
        report = reports.text_of(name)
        variables = {"input": {**said, "report": report, "idempotencyKey": key}}
        # A conflict: the attempt before is still at work, or somebody deletes at this moment.
        found = client.ask(_CREATE, _Created, variables, again_on=frozenset({"CONFLICT"}), sent=sent)
    except Failure as failure:
        failure.about = called
        return _Outcome(called, None, failure)
    return _Outcome(called, found.create_scan, None)


def _tell(outcome: _Outcome, *, as_json: bool) -> None:
    if outcome.failure is not None:
        tell(outcome.failure, as_json=as_json)
    elif not as_json:
        for scan, new in outcome.scans():
            typer.echo(f"{plain(outcome.name)}: {scan.line(new=new)}")


def _end(outcomes: Sequence[_Outcome], fail_on: Severity | None, *, as_json: bool) -> None:
    """Sum up, and leave with the exit code that a pipeline goes by."""
    failed = sum(outcome.failure is not None for outcome in outcomes)
    counts = [scan.finding_counts for outcome in outcomes for scan, _ in outcome.scans()]
    found = sum(one.at_least(fail_on) for one in counts) if fail_on else 0
    if as_json:
        verdict = {"failOn": fail_on.value.upper(), "findings": found} if fail_on else None
        typer.echo(dumped({"files": [outcome.shown() for outcome in outcomes], "failed": failed, "gate": verdict}))
    else:
        if failed and len(outcomes) > 1:
            say(f"gatehouse: {failed} of {len(outcomes)} reports were not pushed.", "red")
        if fail_on and found:
            worst = "" if fail_on is Severity.CRITICAL else " or worse"
            say(f"gatehouse: {found} finding{'s' * (found > 1)} {fail_on.value}{worst} (--fail-on).", "red")
    if failed or found:
        raise typer.Exit(1)


class _Bar:
    """How far a report is, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress: Progress | None = None

    @contextmanager
    def of(self, name: str) -> Iterator[Callable[[float], None]]:
        """One report on its way. The bar is gone before anything is printed."""
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        with Progress(
            *columns,
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._console.is_terminal,
        ) as self._progress:
            task, title = self._progress.add_task(plain(name), total=1), plain(name)

            def sent(part: float) -> None:
                if self._progress is not None:
                    self._progress.update(task, completed=part, description=title)

            yield sent
        self._progress = None

    def waiting(self, words: str) -> None:
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], description=plain(words))


@contextmanager
def _bar() -> Iterator[_Bar]:
    yield _Bar()
