"""Each mutation of the schema with a valid input and what it does: for the tests that hold for all of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import get_named_type, is_leaf_type, is_required_argument

from db.models import ApiKey, ChatMessage, Conversation, Finding, Portfolio, Position, Scan, User
from db.session import Database
from resolvers.root import schema
from tests.conftest import BETA_CODE
from tests.gql import Gql
from tests.people import People, Person

MUTATIONS: dict[str, Any] = schema._schema.mutation_type.fields  # type: ignore[union-attr]  # there is one
Rows = Callable[..., Awaitable[Sequence[Any]]]
Input = dict[str, Any]

CSV = """Symbol,Quantity,Entry Price,Entry Date
ACME,10,12.50,2026-01-05
ACME,10,12.50,2026-01-05
INIT,-3,99,2026-02-06
"""


@dataclass(frozen=True)
class Stage:
    """What cases are prepared and judged with."""

    gql: Gql
    make: People
    rows: Rows
    database: Database

    async def made(self, person: Person, mutation: str, given: Input, what: str) -> str:
        """The id of what a mutation has made, as part of the preparation."""
        answer = await self.gql(person, document(mutation, 0), input=given)
        return str(answer.data[mutation][what]["id"])


@dataclass(frozen=True)
class Case:
    """One mutation: who calls it with which input, what tells that it was done once, and what it has cost."""

    prepare: Callable[[Stage], Awaitable[tuple[Person, Input]]]
    effect: Callable[[Stage, Person], Awaitable[object]]
    once: object
    used: Mapping[str, int] = field(default_factory=dict)


async def _newcomer(stage: Stage) -> tuple[Person, Input]:
    return await stage.make.person(invited=False), {"code": BETA_CODE}


async def _somebody(stage: Stage) -> tuple[Person, Input]:
    return await stage.make.person(), {"fullName": "Ada"}


async def _key_wanted(stage: Stage) -> tuple[Person, Input]:
    return await stage.make.person(), {"name": "ci", "scopes": ["scans:read"]}


async def _key_owner(stage: Stage) -> tuple[Person, Input]:
    person, given = await _key_wanted(stage)
    return person, {"id": await stage.made(person, "createApiKey", given, "apiKey")}


async def _portfolio_wanted(stage: Stage) -> tuple[Person, Input]:
    return await stage.make.person(), {"name": "Long run", "currency": "EUR"}


async def _portfolio_owner(stage: Stage) -> tuple[Person, Input]:
    person, given = await _portfolio_wanted(stage)
    return person, {"id": await stage.made(person, "createPortfolio", given, "portfolio")}


async def _renaming_owner(stage: Stage) -> tuple[Person, Input]:
    person, given = await _portfolio_owner(stage)
    return person, {**given, "name": "Short run", "version": 1}


async def _importing_owner(stage: Stage) -> tuple[Person, Input]:
    person, given = await _portfolio_owner(stage)
    return person, {"portfolioId": given["id"], "csv": CSV}


async def _asking(stage: Stage) -> tuple[Person, Input]:
    return await stage.make.person(), {"content": "How much is left?"}


async def _has_asked(stage: Stage) -> tuple[Person, Input]:
    person, given = await _asking(stage)
    return person, {"id": await stage.made(person, "sendChatMessage", given, "conversation")}


async def _retitling(stage: Stage) -> tuple[Person, Input]:
    person, given = await _has_asked(stage)
    return person, {**given, "title": "Quotas"}


async def _scanning(stage: Stage) -> tuple[Person, Input]:
    found = {"severity": "HIGH", "message": "A shell", "path": "app.py", "startLine": 3}
    return await stage.make.person(), {"tool": "bandit", "target": "shop", "findings": [found, found]}


async def _has_scanned(stage: Stage) -> tuple[Person, Input]:
    person, given = await _scanning(stage)
    return person, {"id": await stage.made(person, "createScan", given, "scan")}


async def _user(stage: Stage, person: Person) -> object:
    (user,) = await stage.rows(User, User.id == person.user_id)
    return user.full_name, user.invite_validated


async def _keys(stage: Stage, person: Person) -> object:
    """Beside the one that comes with the account: name, and whether it goes on working."""
    keys = await stage.rows(ApiKey, ApiKey.user_id == person.user_id)
    return [(key.name, key.revoked_at is None, key.expires_at is None) for key in keys[1:]]


async def _portfolios(stage: Stage, person: Person) -> object:
    """Name, version and how many positions."""
    portfolios = await stage.rows(Portfolio, Portfolio.user_id == person.user_id)
    positions = [await stage.rows(Position, Position.portfolio_id == one.id) for one in portfolios]
    return [(one.name, one.version, len(held)) for one, held in zip(portfolios, positions, strict=True)]


async def _conversations(stage: Stage, person: Person) -> object:
    """Title and how many messages."""
    conversations = await stage.rows(Conversation, Conversation.user_id == person.user_id)
    messages = [await stage.rows(ChatMessage, ChatMessage.conversation_id == one.id) for one in conversations]
    return [(one.title, len(said)) for one, said in zip(conversations, messages, strict=True)]


async def _scans(stage: Stage, person: Person) -> object:
    """Tool, and how many findings."""
    scans = await stage.rows(Scan, Scan.user_id == person.user_id)
    findings = [await stage.rows(Finding, Finding.scan_id == one.id) for one in scans]
    return [(one.tool, len(found)) for one, found in zip(scans, findings, strict=True)]


_FREED, _HELD = {"portfolios": 0}, {"portfolios": 1}
_ASKED, _UNANSWERED = {"aiMessages": 1}, {"aiMessages": 0}
_SCANNED = {"scans": 1}

CASES = {
    "validateInvite": Case(_newcomer, _user, (None, True)),
    "updateProfile": Case(_somebody, _user, ("Ada", True)),
    "createApiKey": Case(_key_wanted, _keys, [("ci", True, True)]),
    "rotateApiKey": Case(_key_owner, _keys, [("ci", True, False), ("ci", True, True)]),
    "revokeApiKey": Case(_key_owner, _keys, [("ci", False, True)]),
    "createPortfolio": Case(_portfolio_wanted, _portfolios, [("Long run", 1, 0)], _HELD),
    "updatePortfolio": Case(_renaming_owner, _portfolios, [("Short run", 2, 0)], _HELD),
    "deletePortfolio": Case(_portfolio_owner, _portfolios, [], _FREED),
    "importPositions": Case(_importing_owner, _portfolios, [("Long run", 1, 3)], _HELD),
    "createScan": Case(_scanning, _scans, [("bandit", 2)], _SCANNED),
    "deleteScan": Case(_has_scanned, _scans, [], _SCANNED),
    "sendChatMessage": Case(_asking, _conversations, [("How much is left?", 2)], _ASKED),
    "renameConversation": Case(_retitling, _conversations, [("Quotas", 2)], _ASKED),
    "deleteConversation": Case(_has_asked, _conversations, [], _UNANSWERED),
}


def document(name: str, depth: int) -> str:
    """The mutation with everything of its payload; `depth`: how far below the payload's objects more than their id."""
    field = MUTATIONS[name]
    takes = field.args["input"].type
    return f"mutation($input: {takes}) {{ {name}(input: $input) {_selection(field.type, depth + 1)} }}"


def _selection(kind: Any, depth: int) -> str:
    named = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    fields = getattr(named, "fields", {})
    if depth == 0:
        return "{ id }" if "id" in fields else "{ __typename }"
    free = (item for item in fields.items() if not any(map(is_required_argument, item[1].args.values())))
    # In another order, with one more: another document than the one of the first attempt.
    return "{ __typename " + " ".join(f"{name} {_selection(field.type, depth - 1)}" for name, field in free) + " }"
