"""Servers for tests, each on a free port of this machine: one that speaks OpenAI's API, and one that nobody should ever call."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


class Request(BaseHTTPRequestHandler):
    """A request that is not logged; its connection ends with the answer."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "connection": "close"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


class Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def listening(kind: type[Request]) -> Iterator[str]:
    """Answer requests until the context ends; gives the address."""
    server = Listener(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Canary:
    """A server that nobody should ever call; calls lists the paths that were asked for."""

    url: str = ""
    calls: list[str] = field(default_factory=list)


@contextmanager
def canary_listening() -> Iterator[Canary]:
    """A server that writes down every call and lets any page read its answers."""
    canary = Canary()

    class Call(Request):
        def do_GET(self) -> None:
            canary.calls.append(self.path)
            self.head(200, access_control_allow_origin="*")

    with listening(Call) as canary.url:
        yield canary


class RefusedError(Exception):
    """The answer is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class BrokenOffError(Exception):
    """The connection is closed without another word."""


@dataclass(kw_only=True)
class OpenAIServer:
    """A server that speaks OpenAI's API. What it answers is up to whoever inherits from it; any of it may raise the errors above.

    url: without ``/v1``. key: what a client has to know. busy: how many requests to come are told to wait. asked: the bodies of
    the requests.
    """

    url: str = ""
    key: str | None = None
    busy: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def models(self) -> list[dict[str, Any]]:
        """The entries of ``/v1/models``."""
        raise NotImplementedError

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any] | bytes | Iterator[dict[str, Any]]:
        """A whole answer, the bytes of one that is no JSON, or the events of one that is streamed."""
        raise NotImplementedError

    def take(self, body: dict[str, Any]) -> None:
        """Write a request down before it is answered."""
        self.asked.append(body)
        if self.busy:
            self.busy -= 1
            raise RefusedError(429, "too many requests")

    def turn(self) -> AbstractContextManager[Any]:
        """Lasts while one request is dealt with."""
        return nullcontext()


S = TypeVar("S", bound=OpenAIServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Run a server, which then knows its url."""

    class Asked(_OpenAIRequest):
        state = server

    with listening(Asked) as server.url:
        yield server


class _OpenAIRequest(Request):
    """One request to an ``OpenAIServer``."""

    state: OpenAIServer

    def do_GET(self) -> None:
        self.answer(lambda: {"data": self.state.models()})

    def do_POST(self) -> None:
        self.close_connection = True
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))

        def answer() -> Any:
            self.state.take(body)
            return self.state.answer(self.path, body)

        with self.state.turn(), suppress(BrokenOffError):
            self.answer(answer)

    def answer(self, make: Callable[[], Any]) -> None:
        try:
            if self.state.key and self.headers.get("authorization") != f"Bearer {self.state.key}":
                raise RefusedError(401, "wrong key")
            answer = make()
        except RefusedError as error:
            self.whole(error.status, {"error": {"message": error.message}})
            return
        if isinstance(answer, dict | bytes):
            self.whole(200, answer)
        else:
            self.streamed(answer)

    def whole(self, status: int, value: Any) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        wait = {"retry_after": "0.1"} if status == 429 else {}
        self.head(status, content_type="application/json", content_length=str(len(data)), **wait)
        self.wfile.write(data)

    def streamed(self, events: Iterator[dict[str, Any]]) -> None:
        self.head(200, content_type="text/event-stream")
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")


@dataclass(kw_only=True)
class Scripted(OpenAIServer):
    """It streams what it is told to, as brokenly as it is told to.

    reply: words that are streamed, ``{model}`` for the model's name; pause: seconds between them; fault: what goes wrong.
    thought: words that are streamed before it. finish: why the answer ends. repeat_question: it stands at the end of the answer.
    running: requests at this moment.
    """

    reply: str = "A short answer."
    thought: str = ""
    pause: float = 0.0
    fault: str | None = None
    names: list[str] = field(default_factory=lambda: ["alpha", "beta"])
    finish: str = "stop"
    repeat_question: bool = False
    running: int = 0
    most_running: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def models(self) -> list[dict[str, Any]]:
        return [{"id": name} for name in self.names]

    def take(self, body: dict[str, Any]) -> None:
        super().take(body)
        if self.fault == "busy":
            raise RefusedError(429, "slow down")
        if self.fault == "always too long" or (self.fault == "too long" and len(body["messages"]) > 1):
            raise RefusedError(400, "This model's maximum context length is 512 tokens.")

    def answer(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        text = self.reply.replace("{model}", body["model"])
        text += f" [{body['messages'][-1]['content']}]" if self.repeat_question else ""
        words = text.split(" ")
        for word in self.thought.split(" ") if self.thought else ():
            yield {"choices": [{"delta": {"reasoning_content": word + " "}, "finish_reason": None}]}
        for index, word in enumerate(words):
            if self.fault == "break" and index == 3:
                raise BrokenOffError
            part = word + (" " if index + 1 < len(words) else "")
            yield {"choices": [{"delta": {"content": part}, "finish_reason": None}]}
            time.sleep(self.pause)
        yield {"choices": [{"delta": {}, "finish_reason": self.finish}]}
        yield {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(words)}, "error": None}

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self.lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            yield
        finally:
            with self.lock:
                self.running -= 1
