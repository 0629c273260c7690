"""ASGI in small: the types, what headers go in and out through the guard, and a whole JSON answer. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# What vLLM may see of a client's headers; its own ones (rank, priority, request id, session) are not among them.
_PASSED = {b"host", b"accept", b"user-agent", b"traceparent", b"tracestate"}
_SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
# CORS answers are vLLM's wide open default; without these headers no web page of another origin can read an answer.
_REMOVED = {
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"x-request-id",
    *(name for name, _ in _SECURITY),
}


def inner_headers(headers: Headers, length: int, identity: str) -> Headers:
    """What vLLM sees of a client's headers: few, with the body's new length and the request's identity."""
    kept = [(name, value) for name, value in headers if name in _PASSED]
    kept += [(b"content-type", b"application/json"), (b"content-length", str(length).encode())]
    return [*kept, (b"x-request-id", identity.encode())]


def dressed(headers: Headers, identity: str, model: str | None = None) -> Headers:
    """Headers of an answer: vLLM's less what is too open, security, the request's identity, the model that answered."""
    kept = [(name, value) for name, value in headers if name.lower() not in _REMOVED]
    kept += [*_SECURITY, (b"x-request-id", identity.encode())]
    return kept if model is None else [*kept, (b"x-studio-model", model.encode("latin-1", "replace"))]


async def answer(send: Send, status: int, value: Any, identity: str, extra: Headers | None = None) -> None:
    """A whole JSON answer."""
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": dressed(headers, identity)})
    await send({"type": "http.response.body", "body": body})


def inner_message(body: bytes) -> str:
    """What vLLM said of an error."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
