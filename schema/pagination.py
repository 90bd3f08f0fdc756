"""Connections as Relay has them: pages, edges, cursors. What is in a list, and its order, is declared in db.queries."""

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import strawberry

from db.queries.paging import Order, Position, Window, order_of
from db.queries.relation import Relation, Wanted
from db.session import Row
from errors import Faults, collect_faults
from schema.context import Info
from schema.node import Node

DEFAULT_PAGE = 20
MAX_PAGE = 100

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

    def window(self, relation: Relation, wanted: Wanted | None = None) -> Window:
        """The window of this relation, narrowed; `BadUserInput` with every fault of the arguments."""
        order = order_of(relation)
        with collect_faults() as faults:
            for name, size in (("first", self.first), ("last", self.last)):
                faults.unless(size is None or 1 <= size <= MAX_PAGE, name, f"1 to {MAX_PAGE}.")
            faults.unless(self.first is None or self.last is None, "last", "Either first or last, not both.")
            after = _position(faults, order, "after", self.after)
            before = _position(faults, order, "before", self.before)
        size = self.first or self.last or DEFAULT_PAGE
        return Window(size, backwards=self.last is not None, after=after, before=before, wanted=wanted)


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
class Connection(Generic[N]):
    edges: list[Edge[N]] = strawberry.field(description="What is on this page, in the order of the list.")
    relation: strawberry.Private[Relation]
    parent: strawberry.Private[UUID]
    window: strawberry.Private[Window]
    more: strawberry.Private[bool]

    @strawberry.field(description="Where this page lies in the list.")
    def page_info(self) -> PageInfo:
        backwards = self.window.backwards
        return PageInfo(
            has_next_page=(self.more and not backwards) or self.window.before is not None,
            has_previous_page=(self.more and backwards) or self.window.after is not None,
            start_cursor=self.edges[0].cursor() if self.edges else None,
            end_cursor=self.edges[-1].cursor() if self.edges else None,
        )

    @strawberry.field(description="How many the whole list has, as filtered, whatever the page; counted when selected.")
    async def total_count(self, info: Info) -> int:
        return await info.context.read.count(self.relation, self.parent, self.window.wanted)


async def connect(
    info: Info, kind: type[N], relation: Relation, parent: UUID, page: Page, *, wanted: Wanted | None = None
) -> Connection[N]:
    """A page of what is related to this parent, or of what is wanted of that; one statement for many parents at once.

    The body of every connection field, which takes `first: First = None, after: After = None, last: Last = None,
    before: Before = None` and returns `Connection[Kind]`.
    """
    window = page.window(relation, wanted)
    rows, more = await info.context.read.window(relation, parent, window)
    order = order_of(relation)
    edges = [Edge(node=kind.from_row(row), order=order, row=row) for row in rows]
    return Connection(edges=edges, relation=relation, parent=parent, window=window, more=more)
