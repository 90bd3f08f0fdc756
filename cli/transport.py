"""How the parts of an answer leave: those that are written at once, together. What they are is for the protocol."""

import asyncio
from contextvars import Context
from typing import Any

Bytes = bytes | bytearray | memoryview


class Joining(asyncio.Transport):
    """Another transport, for which what is written first waits for the next, or until the loop has its next turn.

    uvicorn writes the head of an answer and its body one after the other, and uvloop sends each as it comes: two calls
    of the kernel and two packets, which cost more than to compose a small answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held: Bytes | None = None
        self._in_turn = False
        self._context = Context()  # of no request

    def write(self, data: Bytes) -> None:
        # Of nothing asyncio never sees the end when it comes last in `writelines`; an empty body is written so.
        if not data or self._transport.is_closing():
            return
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.writelines((held, data))
            return
        self._held = data
        if not self._in_turn:
            self._in_turn = True
            self._loop.call_soon(self._turn, context=self._context)

    def close(self) -> None:
        """Once what was written has left."""
        self._release()
        self._transport.close()

    def abort(self) -> None:
        self._held = None
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._release()
        self._transport.set_protocol(protocol)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _turn(self) -> None:
        self._in_turn = False
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            if not self._transport.is_closing():  # the other side may have gone since
                self._transport.write(held)
