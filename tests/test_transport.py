"""What is written at once leaves together, in its order, and nothing of it is lost or held back."""

import asyncio
from typing import Any, cast

from cli.transport import Joining


class Wire(asyncio.Transport):
    """Notes each call of the kernel that it would take."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = ""
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.sent.append(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = "closed"

    def abort(self) -> None:
        self.closed = "aborted"

    def is_closing(self) -> bool:
        return bool(self.closed)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return name if name == "peername" else default


def joined() -> tuple[Joining, Wire]:
    wire = Wire()
    return Joining(wire, asyncio.get_running_loop()), wire


async def test_head_and_body_are_one_packet() -> None:
    transport, wire = joined()
    transport.write(b"head")
    assert wire.sent == []
    transport.write(b"body")
    assert wire.sent == [b"headbody"]
    await asyncio.sleep(0)
    assert wire.sent == [b"headbody"]


async def test_what_comes_alone_leaves_in_the_next_turn() -> None:
    transport, wire = joined()
    transport.write(b"HTTP/1.1 100 Continue")
    await asyncio.sleep(0)
    assert wire.sent == [b"HTTP/1.1 100 Continue"]
    for part in (b"a", b"b", b"c"):
        transport.write(part)
    await asyncio.sleep(0)
    assert wire.sent[1:] == [b"ab", b"c"]


async def test_what_was_written_leaves_before_the_end() -> None:
    transport, wire = joined()
    transport.write(b"last words")
    transport.close()
    assert (wire.sent, wire.closed, transport.is_closing()) == ([b"last words"], "closed", True)
    await asyncio.sleep(0)
    assert wire.sent == [b"last words"]


async def test_what_is_aborted_sends_nothing_more() -> None:
    transport, wire = joined()
    transport.write(b"nothing")
    transport.abort()
    await asyncio.sleep(0)
    assert (wire.sent, wire.closed) == ([], "aborted")


async def test_another_protocol_begins_after_what_was_written() -> None:
    transport, wire = joined()
    transport.write(b"101")
    other = cast("asyncio.BaseProtocol", object())
    transport.set_protocol(other)
    assert (wire.sent, transport.get_protocol()) == ([b"101"], other)
    assert (transport.get_extra_info("peername"), transport.get_extra_info("socket", "none")) == ("peername", "none")


async def test_an_empty_body_and_what_is_written_too_late_are_nothing() -> None:
    """asyncio sees no end of nothing in `writelines`, and uvloop refuses to write where the other side has gone."""
    transport, wire = joined()
    transport.write(b"head")
    transport.write(b"")
    await asyncio.sleep(0)
    assert wire.sent == [b"head"]
    transport.write(b"head")
    wire.closed = "by the other side"
    transport.write(b"body")
    await asyncio.sleep(0)
    assert wire.sent == [b"head"]
