"""A request as it comes in: its head, looked at once, and what has come of its body. What it asks is read elsewhere."""

from collections.abc import Iterable, Sequence

from starlette.types import Message, Receive, Scope

_NONE: Sequence[str] = ()


class Fields:
    """The fields of a head, by their names in lower case.

    Starlette's look through all of them, and decode them, each time that one is asked for.
    """

    __slots__ = ("_values",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        values: dict[str, list[str]] = {}
        for name, value in raw:
            values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        self._values = values

    def getlist(self, name: str) -> Sequence[str]:
        """The values of all fields with this name, in their order."""
        return self._values.get(name, _NONE)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> str:
        """The value of the first; empty where there is none."""
        values = self._values.get(name)
        return values[0] if values else ""


class Incoming:
    """`unread`: whether something of the body may still come, which nobody has asked for."""

    __slots__ = ("_receive", "headers", "method", "scope", "unread")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.headers = Fields(scope["headers"])
        # Without either there is no body (RFC 9112, section 6.3), and queries of the URL have none.
        told = "content-length" in self.headers or "transfer-encoding" in self.headers
        self.unread = told or self.method != "GET"
        self._receive = receive

    async def receive(self) -> Message:
        """As ASGI has it."""
        message = await self._receive()
        self.unread = self.unread and message.get("more_body", False)
        return message
