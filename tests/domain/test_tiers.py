"""Grants that cannot be made: all that is wrong is told at once. The commands are in test_commands_entitlements."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

import clock
import errors
from db.session import Database
from domain import tiers
from domain.plans import LARGEST, load

PLANS = load(None)


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({"extra": 0}, ["extra"]),
        ({"extra": LARGEST + 1}, ["extra"]),
        ({"until": timedelta()}, ["until"]),
        ({"note": "x" * 501}, ["note"]),
        ({"feature": "positionImport"}, ["extra"]),
        ({"extra": -1, "until": timedelta(days=-1), "note": "x" * 501}, ["extra", "until", "note"]),
    ],
)
async def test_faults_of_a_grant_are_the_askers(given: dict[str, Any], paths: list[str], database: Database) -> None:
    asked: dict[str, Any] = {"feature": "aiMessages", "extra": 1, "until": None, "note": None} | given
    asked["until"] = None if asked["until"] is None else clock.now() + asked["until"]
    async with database.transaction() as session:
        with pytest.raises(errors.BadUserInput) as refusal:
            await tiers.grant(session, PLANS, uuid4(), **asked)
    assert [fault["path"] for fault in refusal.value.details["fields"]] == paths
