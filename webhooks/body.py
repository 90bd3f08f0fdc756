"""The body of a webhook, read within bounds of size and time. What it holds is not looked at."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from errors import BadUserInput

MAX_BYTES = 1024 * 1024
"""Bodies of Clerk have some kB; a user object with all its metadata stays far below."""
READ_SECONDS = 10.0
"""For the whole body: senders give up after 15 seconds, and the work comes after."""


class PayloadTooLarge(BadUserInput):
    """The body is over MAX_BYTES."""

    status = 413


class ReadTimedOut(BadUserInput):
    """The body did not come within READ_SECONDS."""

    status = 408


async def read(request: Request) -> bytes:
    """The raw body; `PayloadTooLarge` by what is declared or by what comes, `ReadTimedOut`, or `BadUserInput`."""
    too_large = f"The body is larger than {MAX_BYTES} bytes."
    declared = request.headers.get("Content-Length", "").lstrip("0")
    if declared.isdecimal() and (len(declared) > len(str(MAX_BYTES)) or int(declared) > MAX_BYTES):
        raise PayloadTooLarge(too_large)
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise PayloadTooLarge(too_large)
    except TimeoutError:
        raise ReadTimedOut(f"The body did not come within {READ_SECONDS:g} seconds.") from None
    except ClientDisconnect:
        raise BadUserInput("The connection closed before the body ended.") from None
    return bytes(body)
