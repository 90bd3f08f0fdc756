"""`node` and `nodes`: finding an object again by its global id, for its owner only."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from uuid import UUID

import strawberry

import errors
from auth.permissions import IsAuthenticated, has_scope
from db import queries
from schema import ids
from schema.accounts import User, own_user
from schema.api_keys import ApiKey
from schema.chat import ChatMessage, Conversation
from schema.context import Info
from schema.node import Node
from schema.portfolios import Portfolio, Position
from schema.scans import Finding, Scan

MAX_NODES = 100


async def _users(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    return [await own_user(info)] if actor.user_id in keys else []


async def _api_keys(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    rows = await info.context.read.rows(queries.api_keys.several(actor.user_id, keys))
    return [ApiKey.from_row(row) for row in rows]


async def _conversations(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    if not actor.by_session:
        return []  # what people write is not for keys
    rows = await info.context.read.rows(queries.chat.conversations(actor.user_id, keys))
    return [Conversation.from_row(row) for row in rows]


async def _chat_messages(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    if not actor.by_session:
        return []
    rows = await info.context.read.rows(queries.chat.messages(actor.user_id, keys))
    return [ChatMessage.from_row(row) for row in rows]


async def _portfolios(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    rows = await info.context.read.rows(queries.portfolios.portfolios(actor.user_id, keys))
    return [Portfolio.from_row(row) for row in rows]


async def _positions(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    rows = await info.context.read.rows(queries.portfolios.positions(actor.user_id, keys))
    return [Position.from_row(row) for row in rows]


async def _scans(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    if not actor.may("scans:read"):
        return []
    rows = await info.context.read.rows(queries.scans.scans(actor.user_id, keys))
    return [Scan.from_row(row) for row in rows]


async def _findings(info: Info, keys: Collection[UUID]) -> Sequence[Node]:
    actor = await info.context.caller.actor()
    if not actor.may("scans:read"):
        return []
    rows = await info.context.read.rows(queries.scans.findings(actor.user_id, keys))
    return [Finding.from_row(row) for row in rows]


# Each finds the caller's own among these keys, in one statement.
_FINDERS: dict[str, Callable[[Info, Collection[UUID]], Awaitable[Sequence[Node]]]] = {
    User.__name__: _users,
    ApiKey.__name__: _api_keys,
    Portfolio.__name__: _portfolios,
    Position.__name__: _positions,
    Conversation.__name__: _conversations,
    ChatMessage.__name__: _chat_messages,
    Scan.__name__: _scans,
    Finding.__name__: _findings,
}


async def _find(info: Info, paths: Mapping[str, str]) -> list[Node | errors.AppError]:
    """What the ids, given by their paths in the arguments, lead to; an error in the place of each that leads nowhere.

    One statement for each type that occurs, however many ids there are.
    """
    decoded = {path: ids.decode(text) for path, text in paths.items()}
    wanted: dict[str, set[UUID]] = {}
    for type_name, key in filter(None, decoded.values()):
        wanted.setdefault(type_name, set()).add(key)
    found: dict[tuple[str, UUID], Node] = {}
    for type_name in wanted.keys() & _FINDERS.keys():
        found |= {(type_name, node.pk): node for node in await _FINDERS[type_name](info, wanted[type_name])}
    return [(found.get(one) or _not_found()) if one else _not_an_id(path) for path, one in decoded.items()]


def _not_found() -> errors.AppError:
    return errors.NotFound("There is no such object, or it is not yours.")


def _not_an_id(path: str) -> errors.AppError:
    return errors.BadUserInput(f"{path}: Not an id of this API.", (errors.Fault(path, "Not an id of this API."),))


@strawberry.type
class NodesQuery:
    @strawberry.field(
        permission_classes=[IsAuthenticated, has_scope("account:read")],
        description="An object of the caller by its global id; null with NOT_FOUND for anything else.",
    )
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        [found] = await _find(info, {"id": id})
        if isinstance(found, errors.AppError):
            raise found
        return found

    @strawberry.field(
        permission_classes=[IsAuthenticated, has_scope("account:read")],
        description="Objects of the caller by their global ids, at most 100, in the order asked for; null where none.",
    )
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        if len(ids) > MAX_NODES:
            fault = errors.Fault("ids", f"At most {MAX_NODES} ids.")
            raise errors.BadUserInput(f"ids: At most {MAX_NODES} ids.", (fault,))
        # An error in the list becomes an error at its own place.
        return await _find(info, {f"ids.{position}": one for position, one in enumerate(ids)})  # type: ignore[return-value]  # GraphQL raises them
