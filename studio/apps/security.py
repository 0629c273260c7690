"""What stands between the network and a page: host names that are answered, size of requests, what the browser may do."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Gradio's own page needs inline and evaluated scripts. What matters for texts of a model: nothing is fetched from, sent to or
# framed from another place, so a picture or a link in an answer cannot tell anyone that it was read.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-src 'none'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


def is_loopback(host: str) -> bool:
    """True when only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, name: str | None) -> frozenset[str] | None:
    """Host names that are answered, or None for any.

    A page on loopback answers to loopback's names only (and that of a proxy): otherwise any web page could reach it by pointing
    a name of its own at 127.0.0.1.
    """
    if not is_loopback(host):
        return None
    return frozenset({"localhost", "127.0.0.1", "::1", host.strip("[]"), *([name.lower()] if name else [])})


def own_page_asks(headers: Mapping[bytes, bytes], hosts: frozenset[str] | None) -> bool:
    """True when the browser says that a page of this very address asks; programs say nothing and have no cookies to abuse.

    Args:
        headers: of the request, names in small letters.
        hosts: as of :class:`GuardedPage`; a proxy's name among them may ask although the proxy writes another one into ``Host``.
    """
    if headers.get(b"sec-fetch-site", b"none") not in {b"same-origin", b"none"}:
        return False
    origin = headers.get(b"origin")
    if origin is None:
        return True
    asking = urlsplit(origin.decode("latin-1"))
    if asking.netloc.lower() == headers.get(b"host", b"").decode("latin-1").lower():
        return True
    return hosts is not None and (asking.hostname or "") in {host for host in hosts if not is_loopback(host)}


class GuardedPage:
    """ASGI middleware: checks the host name and who asks for a change, limits the size of requests, adds the headers above."""

    def __init__(self, app: Any, hosts: frozenset[str] | None, max_body: int) -> None:
        """``hosts`` None answers to any name; ``max_body`` in bytes."""
        self._app, self._hosts, self._max_body = app, hosts, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._hosts is not None and _host_name(headers.get(b"host", b"")) not in self._hosts:
            await _refuse(scope, receive, send, 421, b"This page does not answer to that host name.")
            return
        if scope.get("method", "GET") not in SAFE and not own_page_asks(headers, self._hosts):
            await _refuse(scope, receive, send, 403, b"Another site asked for this; nothing was changed.")
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            await _refuse(scope, receive, send, 413, b"The request is too large.")
            return
        started = False
        body = _Body(receive, self._max_body)

        async def tell(message: Message) -> None:
            nonlocal started
            if body.too_large and not started:
                # The app took the broken-off body for a malformed one and answers that; what is wrong is its size.
                raise _TooLargeError
            if message["type"] == "http.response.start":
                started = True
                known = {name.lower() for name, _ in message.get("headers", [])}
                message["headers"] = [*message.get("headers", []), *(pair for pair in HEADERS if pair[0] not in known)]
            await send(message)

        try:
            await self._app(scope, body.receive, tell)
        except _TooLargeError:
            if not started:
                await _refuse(scope, receive, send, 413, b"The request is too large.")


class _TooLargeError(Exception):
    """A body without a stated length grew beyond the limit."""


class _Body:
    """A request's body as it comes in. too_large: more bytes came than are taken."""

    def __init__(self, receive: Receive, limit: int) -> None:
        """``limit`` in bytes."""
        self._receive, self._left, self.too_large = receive, limit, False

    async def receive(self) -> Message:
        """The next piece.

        Raises:
            _TooLargeError: more came than is taken.
        """
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        self.too_large = self.too_large or self._left < 0
        if self.too_large:
            raise _TooLargeError
        return message


def _host_name(header: bytes) -> str:
    """The name in a Host header, without the port."""
    text = header.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0] if text.rpartition(":")[2].isdigit() and ":" in text else text


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: bytes) -> None:
    """Answer with a status and one sentence."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
