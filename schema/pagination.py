"""Connections as Relay has them: pages, edges, cursors. What is in a list, and its order, is declared in db.queries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, cast
from uuid import UUID

import strawberry

from db.queries.paging import Listing, Order, Position, Window, order_of
from db.queries.relation import Relation, Wanted
from db.session import Row
from engine import AT_ONCE, LATER, AtOnce, sql
from errors import Faults, collect_faults
from schema.context import Info
from schema.node import Node
from schema.reading import Slice

DEFAULT_PAGE = 20
MAX_PAGE = 100
# What a count costs, in plain fields: it reads the whole list.
COUNTED = {"weight": 10}

First = Annotated[
    int | None, strawberry.argument(description="How many from the start: 1 to 100; 20 without first and last.")
]
After = Annotated[str | None, strawberry.argument(description="A cursor: only what comes after it.")]
Last = Annotated[int | None, strawberry.argument(description="How many from the end: 1 to 100; not with first.")]
Before = Annotated[str | None, strawberry.argument(description="A cursor: only what comes before it.")]

N = TypeVar("N", bound=Node)


@dataclass(frozen=True, slots=True)
class Page:
    """What a client asks for: the arguments of every connection."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    def of(self, relation: Relation, wanted: Wanted | None = None) -> Listing:
        """This page of the relation, narrowed; `BadUserInput` with every fault of the arguments."""
        order = order_of(relation)
        with collect_faults() as faults:
            for name, size in (("first", self.first), ("last", self.last)):
                faults.unless(size is None or 1 <= size <= MAX_PAGE, name, f"1 to {MAX_PAGE}.")
            faults.unless(self.first is None or self.last is None, "last", "Either first or last, not both.")
            after = _position(faults, order, "after", self.after)
            before = _position(faults, order, "before", self.before)
        size = self.first or self.last or DEFAULT_PAGE
        backwards = self.last is not None
        return Listing(relation, Window(size, backwards, after=after, before=before, wanted=wanted))


def _position(faults: Faults, order: Order, name: str, cursor: str | None) -> Position | None:
    position = None if cursor is None else order.position(cursor)
    faults.unless(cursor is None or position is not None, name, "Not a cursor of this list.")
    return position


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(
        description="Whether more follows. Paging backwards, what `before` names is taken to be there still."
    )
    has_previous_page: bool = strawberry.field(
        description="Whether more comes before. Paging forwards, what `after` names is taken to be there still."
    )
    start_cursor: str | None = strawberry.field(description="The cursor of the first edge; null on an empty page.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last edge; null on an empty page.")


@strawberry.type(description="One object in a list, and its place there.")
class Edge(Generic[N]):
    node: N = strawberry.field(description="The object.")
    order: strawberry.Private[Order]
    row: strawberry.Private[Row]

    @strawberry.field(description="The place in this list and order: opaque, for `after` and `before`.")
    def cursor(self) -> str:
        return self.order.cursor(self.row)


@strawberry.type(description="A page of a list.")
class Connection(sql.Page, Generic[N]):
    """Says what to read. Its resolvers read it, unless the engine answers the whole selection by one statement."""

    kind: strawberry.Private[type[Node]]
    read: strawberry.Private[Listing]
    of: strawberry.Private[UUID]

    @strawberry.field(description="What is on this page, in the order of the list.")
    async def edges(self, info: Info) -> list[Edge[N]]:
        order = order_of(self.read.relation)
        rows, _ = await self._slice(info)
        # N is known to whoever made the connection; here it is the kind.
        return [Edge(node=cast("N", self.kind.from_row(row)), order=order, row=row) for row in rows]

    @strawberry.field(description="Where this page lies in the list.")
    async def page_info(self, info: Info) -> PageInfo:
        order, window = order_of(self.read.relation), self.read.window
        rows, more = await self._slice(info)
        return PageInfo(
            has_next_page=(more and not window.backwards) or window.before is not None,
            has_previous_page=(more and window.backwards) or window.after is not None,
            start_cursor=order.cursor(rows[0]) if rows else None,
            end_cursor=order.cursor(rows[-1]) if rows else None,
        )

    @strawberry.field(
        metadata=COUNTED,
        description="How many the whole list has, as filtered, whatever the page; counted when selected.",
    )
    async def total_count(self, info: Info) -> int:
        return await info.context.read.count(self.read.relation, self.of, self.read.window.wanted)

    async def _slice(self, info: Info) -> Slice:
        """The same page of many parents comes in one statement, and each only once."""
        return await info.context.read.window(self.read.relation, self.of, self.read.window)


def connect(kind: type[N], read: Listing, parent: UUID) -> Connection[N]:
    """What every connection field returns: a page of what is related to this parent."""
    return Connection(kind=kind, read=read, of=parent)


def callers(kind: type[N], page: Callable[..., Listing]) -> dict[str, Any]:
    """Metadata of a guarded field at the root whose resolver connects to the caller: which page, by its arguments.

    So the engine can have it read with the account, and needs no resolver where the account is known already.
    """

    def answer(info: Info, listing: Listing) -> Any:
        actor = info.context.caller.known_actor
        return LATER if actor is None else connect(kind, listing, actor.user_id)

    return {sql.CALLERS: page, AT_ONCE: AtOnce(page, answer)}
