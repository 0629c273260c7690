"""Reading the body of a request: not too long, not too slow. Standard library only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from studio.serve.asgi import Message, Receive
from studio.serve.limits import RefusedError

_BODY_SECONDS = 30.0
# A body too long is read on to this many times the limit, and thrown away: a client still writing when the connection closes gets
# "broken pipe" instead of the answer that says why.
_DRAINED = 4


async def read_body(scope: Message, receive: Receive, limit: int) -> bytes:
    """The whole body, as long as it is not too long and does not take too long.

    Args:
        limit: in bytes.
    Raises:
        RefusedError: 413 or 408.
    """
    too_long = RefusedError(413, "body_too_large", f"The body is longer than {limit} bytes.")
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > _DRAINED * limit:
            raise too_long

    async def read() -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusedError(400, "disconnected", "The client left before its request was whole.")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                pieces.clear()
            if size > limit and (size > _DRAINED * limit or not message.get("more_body", False)):
                raise too_long
            if not message.get("more_body", False):
                return b"".join(pieces)

    try:
        return await asyncio.wait_for(read(), _BODY_SECONDS)
    except TimeoutError:
        raise RefusedError(408, "body_too_slow", f"The body took longer than {_BODY_SECONDS:.0f} s.") from None


async def read_object(scope: Message, receive: Receive, limit: int) -> dict[str, Any]:
    """A body that is one JSON object; none is an empty one.

    Raises:
        RefusedError: as :func:`read_body`; or it is no JSON object.
    """
    try:
        value = json.loads(await read_body(scope, receive, limit) or b"{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError(400, "invalid_json", "The body must be a JSON object.")
    return value


def named_in(body: bytes) -> str:
    """The model that a request names, however wrong the rest of it is; empty where it names none."""
    try:
        asked = json.loads(body)["model"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return asked if isinstance(asked, str) else ""
