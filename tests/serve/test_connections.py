"""Slow heads and too many connections, over real sockets: the guard in uvicorn, as vLLM runs it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from studio.serve.connections import Doors, address_of
from tests.serve.conftest import LIMITS, Gate, MakeGate

HALF = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-half: "
WHOLE = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
SECONDS = LIMITS["header_seconds"]
Connect = Callable[[], socket.socket]


@contextmanager
def listening(gate: Gate) -> Iterator[Connect]:
    """The guard behind a port of this machine; vLLM keeps its uvicorn server where this application keeps it."""
    held = SimpleNamespace(state=SimpleNamespace())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.guard({**scope, "app": held}, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on"))
    held.state.server = server
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < end
        time.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    try:
        yield lambda: socket.create_connection(address, timeout=10)
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def connect(gate: Gate) -> Iterator[Connect]:
    with listening(gate) as made:
        yield made


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes; fails after the socket's own time."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_answer(connection: socket.socket) -> tuple[int, Any]:
    """Status and value of one answer of a connection that stays open."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(65536)
    head, _, body = text.partition(b"\r\n\r\n")
    length = next(int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


def test_half_a_head_is_told_and_closed_in_time(connect: Connect) -> None:
    with closing(connect()) as slow:
        started = time.monotonic()
        slow.sendall(HALF)
        value = read_all(slow)
        took = time.monotonic() - started
        status = int(value.split()[1])
        error = json.loads(value.partition(b"\r\n\r\n")[2])["error"]
    assert status == 408 and error["code"] == "head_too_slow"
    assert error["message"] == "The head of the request was not whole after 0.4 s; send it in one piece."
    assert SECONDS <= took < SECONDS + 3


def test_words_in_drops_win_no_time(connect: Connect) -> None:
    with closing(connect()) as slow:
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - started < 8:
                slow.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - started < SECONDS + 3


def test_who_says_nothing_is_closed_without_a_word(connect: Connect) -> None:
    with closing(connect()) as silent:
        assert read_all(silent) == b""


def test_half_a_second_head_after_an_answer_is_closed_without_a_second_answer(connect: Connect) -> None:
    with closing(connect()) as slow:
        slow.sendall(WHOLE)
        assert read_answer(slow) == (200, {"status": "ok"})
        started = time.monotonic()
        slow.sendall(HALF)
        assert read_all(slow) == b"" and time.monotonic() - started < SECONDS + 3


def test_a_body_that_drips_on_after_its_refusal_is_closed(connect: Connect) -> None:
    with closing(connect()) as slow:
        slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3000\r\n\r\n{")
        assert read_answer(slow)[0] == 401
        started = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - started < 8:
                slow.sendall(b" ")
                time.sleep(0.05)
        assert time.monotonic() - started < SECONDS + 3


def test_an_answer_may_take_longer_than_a_head(gate: Gate, connect: Connect) -> None:
    gate.engine.pause = 3 * SECONDS
    body = json.dumps({"model": "one", "messages": [{"role": "user", "content": "Hello"}]})
    with closing(connect()) as wire:
        patient = http.client.HTTPConnection("localhost")
        patient.sock = wire
        started = time.monotonic()
        patient.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {gate.key}"})
        answer = patient.getresponse()
        assert answer.status == 200 and json.loads(answer.read())["model"] == "one"
        assert time.monotonic() - started >= 3 * SECONDS
        patient.request("GET", "/healthz")
        assert patient.sock is wire and patient.getresponse().status == 200, "the connection was not kept"


def test_one_address_has_its_share_and_gets_it_back(connect: Connect) -> None:
    with ExitStack() as held:
        for _ in range(int(LIMITS["connections"])):
            connection = held.enter_context(closing(connect()))
            connection.sendall(WHOLE)
            assert read_answer(connection)[0] == 200
        with closing(connect()) as more:
            more.sendall(WHOLE)
            text = read_all(more)
        assert text.startswith(b"HTTP/1.1 429 ") and b"too_many_connections" in text and b"at most 6 connections" in text
        assert b"\r\nretry-after: 1\r\n" in text and b"x-content-type-options: nosniff" in text
    time.sleep(0.1)
    with closing(connect()) as later:
        later.sendall(WHOLE)
        assert read_answer(later)[0] == 200


def test_two_hundred_halves_are_gone_soon_and_others_are_served_after(make_gate: MakeGate) -> None:
    gate = make_gate(limits=LIMITS | {"connections": 1000}).open()
    with listening(gate) as connect, ExitStack() as held:
        slow = [held.enter_context(closing(connect())) for _ in range(200)]
        for connection in slow:
            connection.sendall(HALF)
        with closing(connect()) as other:
            other.sendall(WHOLE)
            assert read_answer(other)[0] == 200
        started = time.monotonic()
        assert all(read_all(connection).startswith(b"HTTP/1.1 408 ") for connection in slow)
        assert time.monotonic() - started < SECONDS + 5


def test_a_connection_that_left_by_another_way_is_not_counted() -> None:
    class Transport:
        closing = False

        def is_closing(self) -> bool:
            return self.closing

    doors, first = Doors(1, 10), Transport()
    assert doors.admit("192.0.2.1", first) and not doors.admit("192.0.2.1", Transport())  # type: ignore[arg-type]
    assert doors.admit("192.0.2.2", Transport()), "one address's share is another's"  # type: ignore[arg-type]
    first.closing = True
    assert doors.admit("192.0.2.1", Transport())  # type: ignore[arg-type]


def test_whom_a_connection_counts_for() -> None:
    assert address_of(("192.0.2.1", 5)) == address_of(("::ffff:192.0.2.1", 5, 0, 0)) == "192.0.2.1"
    assert address_of(("2001:db8:1:2::3", 5, 0, 0)) == address_of(("2001:db8:1:2:ffff::9", 6, 0, 0)) == "2001:db8:1:2::/64"
    assert address_of(("fe80::1%eth0", 5, 0, 2)) == "fe80::/64"
    assert address_of("") is None and address_of(None) is None and address_of("/run/socket") is None


def test_a_server_that_cannot_be_told_says_so(make_gate: MakeGate) -> None:
    gate = make_gate()
    assert gate.call("POST", "/studio/open", {}, key=gate.operator).json == {"state": "open", "connections_limited": False}
