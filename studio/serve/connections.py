"""Time for the head of a request, and how many connections one address may hold. Standard library only.

uvicorn gives a connection all the time there is until its first head is whole (its ``timeout_keep_alive`` runs only after an
answer), and counts connections of all addresses together. An ASGI application sees a request when its head is whole, so both
limits stand one layer lower: around the class of uvicorn's protocol, which the server reads from its configuration when it begins
to listen, after the application's start (uvicorn/server.py, ``Server.startup``). A body's time is the guard's own matter.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import uuid
from typing import Any

from studio.serve.asgi import Message, Receive, Send, dressed

_PHRASES = {408: "Request Timeout", 429: "Too Many Requests"}
# Seconds for reading what lies ready: after a standstill of the event loop its timers may be called first.
_GRACE = 0.1


class Doors:
    """The connections of a server, by address. One instance lives in the one process that serves HTTP."""

    def __init__(self, per_address: int, head_seconds: float) -> None:
        """``per_address``: connections at the same time. ``head_seconds``: from connecting, or an answer, to the next head."""
        self.per_address, self.head_seconds = per_address, head_seconds
        self.hung = False
        self._open: dict[str, list[asyncio.BaseTransport]] = {}

    def hang(self, scope: Message) -> None:
        """Stand before the server that starts the application of this ``lifespan``; ``hung`` says whether there was one."""
        server = getattr(getattr(scope.get("app"), "state", None), "server", None)
        config = getattr(server, "config", None)
        protocol = getattr(config, "http_protocol_class", None)
        if isinstance(protocol, type) and hasattr(protocol, "data_received"):
            config.http_protocol_class = watched(protocol, self)  # type: ignore[union-attr]
            self.hung = True

    def admit(self, address: str | None, transport: asyncio.BaseTransport) -> bool:
        """Count a connection in, unless its address has its share; None is a socket without addresses, which has no share."""
        if address is None:
            return True
        # An upgrade gives a transport to another protocol, which would not count it out: what is closing is looked up instead.
        live = [one for one in self._open.get(address, []) if not one.is_closing()]
        admitted = len(live) < self.per_address
        self._open[address] = [*live, transport] if admitted else live
        return admitted

    def leave(self, address: str | None, transport: asyncio.BaseTransport) -> None:
        """Count a connection out."""
        if address is None:
            return
        live = [one for one in self._open.get(address, []) if one is not transport and not one.is_closing()]
        if live:
            self._open[address] = live
        else:
            self._open.pop(address, None)


class Connection:
    """One connection: its timer, and whether it is over its address's share."""

    def __init__(self, doors: Doors) -> None:
        """Nothing has come yet."""
        self._doors = doors
        self._address: str | None = None
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._admitted = True
        self._running = self._requests = self._received = 0

    def opened(self, transport: Any) -> None:
        """Count it in and start its time."""
        self._transport, self._address = transport, address_of(transport.get_extra_info("peername"))
        self._admitted = self._doors.admit(self._address, transport)
        self._wait()

    def closed(self) -> None:
        """Count it out."""
        self._stop()
        self._doors.leave(self._address, self._transport)

    def heard(self, data: bytes) -> bool:
        """Something came; False when nobody is to read it, because the refusal has been written.

        The refusal waits for the first words: written before them it is lost, because they meet a closed socket.
        """
        self._received += len(data)
        if not self._admitted:
            allowed = f"at most {self._doors.per_address} connections from one address at the same time"
            self._end(429, "too_many_connections", f"This server takes {allowed}; close one, or use them for several requests.")
            return False
        if not self._running and self._timer is None:
            self._wait()
        return True

    def around(self, app: Any) -> Any:
        """The application, with the time for the head stopped while it answers."""

        async def timed(scope: Message, receive: Receive, send: Send) -> None:
            self._running += 1
            self._requests += 1
            self._stop()
            try:
                await app(scope, receive, send)
            finally:
                self._running -= 1
                if not self._running and not self._transport.is_closing():
                    self._wait()

        return timed

    def _wait(self) -> None:
        """Give the next head its time."""
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(self._doors.head_seconds, self._due)

    def _stop(self) -> None:
        """No time runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        """The time is over, unless a head lies there unread."""
        self._timer = asyncio.get_running_loop().call_later(_GRACE, self._late)

    def _late(self) -> None:
        """The time is over: who has begun to ask is told, who is silent is not (an answer to no question confuses proxies)."""
        self._timer = None
        if self._received and not self._requests and self._admitted:
            seconds = f"{self._doors.head_seconds:g} s"
            self._end(408, "head_too_slow", f"The head of the request was not whole after {seconds}; send it in one piece.")
        elif not self._transport.is_closing():
            self._transport.close()

    def _end(self, status: int, code: str, message: str) -> None:
        """Write an answer and close."""
        if not self._transport.is_closing():
            self._transport.write(raw_answer(status, code, message))
            self._transport.close()


def watched(protocol: type[Any], doors: Doors) -> type[Any]:
    """A protocol of uvicorn (httptools' or h11's: both keep their application in ``app``) behind the doors."""

    class Watched(protocol):  # type: ignore[misc]
        """uvicorn's own, timed and counted."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self._connection = Connection(doors)
            self.app: Any = self._connection.around(self.app)

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._connection.opened(transport)

        def data_received(self, data: bytes) -> None:
            if self._connection.heard(data):
                super().data_received(data)

        def connection_lost(self, error: Exception | None) -> None:
            self._connection.closed()
            super().connection_lost(error)

    return Watched


def address_of(peer: Any) -> str | None:
    """Whom a connection counts for: the IPv4 address, or the first 64 bits of IPv6, a single network (RFC 4291, 2.5.4).

    Args:
        peer: ``peername`` of a transport; anything but an address and a port (a local socket) is nobody.
    """
    if not isinstance(peer, (tuple, list)) or not peer:
        return None
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address) + "/64"


def raw_answer(status: int, code: str, message: str) -> bytes:
    """A whole HTTP/1.1 answer in the shape of the guard's other refusals, for where no application is asked; it closes."""
    kind = "rate_limit_error" if status == 429 else "invalid_request_error"
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    if status == 429:
        headers.append((b"retry-after", b"1"))
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in dressed(headers, uuid.uuid4().hex))
    return f"HTTP/1.1 {status} {_PHRASES[status]}\r\n".encode() + lines + b"\r\n" + body
