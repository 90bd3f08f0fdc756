"""The check before any measurement: every contestant gives the same data as the floor, and writes the same rows."""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from benchmarks.peers.ground import Ground
from benchmarks.peers.operations import NEW_SCAN, Operation
from benchmarks.peers.processes import Server

PEOPLE = 5
"""Users of each operation whose answers are compared."""
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:?\d{2})")
_NUMBERS = {"quantity", "entryPrice"}
_OPAQUE = {"id", "cursor", "endCursor"}
# What is of one row alone.
_WRITTEN = """
select to_jsonb(s) - array['id', 'created_at'] as scan, s.created_at > now() - interval '1 minute' as new,
    (select count(*) from ledger where paid_for = s.id and kind = 'spend' and amount = 1
        and balance = (select used from counters c where c.user_id = s.user_id and feature = 'scans'
            and period = ledger.period)) as paid
from scans s where s.id = $1
"""


class DifferenceError(Exception):
    """Contestants do not answer the same: what follows would compare different things."""


def normalised(value: Any, *, own_ids: bool = False, name: str = "") -> Any:
    """Moments and exact numbers by their value, however they are spelled; without ids and cursors where `own_ids`."""
    match value:
        case Mapping():
            kept = {key: one for key, one in value.items() if not (own_ids and key in _OPAQUE)}
            return {key: normalised(one, own_ids=own_ids, name=key) for key, one in kept.items()}
        case list():
            return [normalised(one, own_ids=own_ids) for one in value]
        case str() if name in _NUMBERS:
            return Decimal(value).normalize()
        case str() if _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    return value


def check(servers: Sequence[Server], operations: Sequence[Operation], ground: Ground) -> None:
    """Raise `DifferenceError` unless all answer like the first."""
    for operation in operations:
        for number in operation.numbers(ground.scale)[:PEOPLE]:
            token = ground.token(number)
            if operation.writes:
                _same_rows(servers, operation, ground, token)
            else:
                _same_answers(servers, operation, token)


def _same_answers(servers: Sequence[Server], operation: Operation, token: str) -> None:
    first = servers[0].ask(operation, token)
    for server in servers[1:]:
        own_ids = server.contestant.dialect.own_ids
        expected = normalised(first, own_ids=own_ids)
        found = normalised(server.ask(operation, token), own_ids=own_ids)
        difference = next(differences(expected, found), None)
        if difference:
            raise DifferenceError(f"{server.contestant.key}, {operation.key}: {difference}")


def _same_rows(servers: Sequence[Server], operation: Operation, ground: Ground, token: str) -> None:
    expected: Any = None
    for server in servers:
        scan = server.ask(operation, token)["createScan"]["scan"]
        told = {name: NEW_SCAN[name] for name in ("tool", "status")}
        if {name: scan.get(name) for name in told} != told or not _MOMENT.fullmatch(scan["createdAt"]):
            raise DifferenceError(f"{server.contestant.key}, {operation.key}: {scan}")
        written = asyncio.run(_written(ground.url, key_of(scan["id"])))
        if not (written.get("new") and written["paid"] == 1):
            raise DifferenceError(f"{server.contestant.key}, {operation.key}, not new or not paid for once: {written}")
        expected = expected or written
        difference = next(differences(expected, written), None)
        if difference:
            raise DifferenceError(f"{server.contestant.key}, {operation.key}, the row: {difference}")


async def _written(url: str, key: UUID) -> dict[str, Any]:
    connection: Any = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(_WRITTEN, key)
        return {**row} if row else {}
    finally:
        await connection.close()


def key_of(text: str) -> UUID:
    """The key in a global id of ours, or in an id that is the key itself."""
    try:
        return UUID(text)
    except ValueError:
        pass
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        return UUID(decoded.rpartition(":")[2])
    except (binascii.Error, ValueError):
        raise DifferenceError(f"There is no key in the id {text!r}.") from None


def differences(expected: Any, found: Any, path: str = "data") -> Iterator[str]:
    """Where two values differ, in words."""
    match expected, found:
        case Mapping(), Mapping():
            for key in expected.keys() | found.keys():
                yield from differences(expected.get(key), found.get(key), f"{path}.{key}")
        case list(), list() if len(expected) == len(found):
            for place, (one, other) in enumerate(zip(expected, found, strict=True)):
                yield from differences(one, other, f"{path}.{place}")
        case _ if expected != found:
            yield f"{path} is {found!r} and not {expected!r}"
