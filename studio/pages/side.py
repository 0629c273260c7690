"""The pages of Gradio beside ours: a process of their own behind a socket that only this user can reach.

Gradio and the models that people talk to take seconds to load and hold the interpreter while they compute; here they hold up
nobody who looks at another page. The process is started again when it has ended.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from studio.core.translation import t
from studio.core.workspace import Workspace
from studio.pages.rendering import render, visitor_of

USER = "x-studio-user"
"""Header in which the process beside is told who asks, percent-encoded; what a browser sends under this name is not passed on."""
TROUBLE = "x-studio-trouble"
"""Header of an answer that is one sentence, for a page of ours."""
_OURS = {"host", "content-length", "transfer-encoding", "connection", "cookie", USER, "x-studio-token"}
_HOP = {b"connection", b"keep-alive", b"transfer-encoding"}


_VAIN_STARTS = 3


def end_quietly() -> None:
    """Answers that wait for ever are broken off when a server ends; uvicorn would print a traceback for each."""

    def is_news(record: logging.LogRecord) -> bool:
        cancelled = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
        return not cancelled and "graceful shutdown" not in record.getMessage()

    logging.getLogger("uvicorn.error").addFilter(is_news)


class Side:
    """The process, and the road to it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = tempfile.TemporaryDirectory(prefix="studio-side-")
        Path(self._folder.name).chmod(0o700)
        self._socket = Path(self._folder.name) / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.AsyncClient | None = None
        self._lock, self._closed, self._vain = threading.Lock(), False, 0

    @property
    def broken(self) -> bool:
        """True once it has ended so often without an answer that it is not started any more."""
        return self._vain >= _VAIN_STARTS

    @property
    def pid(self) -> int | None:
        """Of the process; None where none was started yet."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process where there is none, or it has ended."""
        with self._lock:
            if self._closed or self.broken or (self._process is not None and self._process.poll() is None):
                return
            # One that ended before it answered would end so again.
            self._vain = self._vain + 1 if self._process is not None and not self._socket.exists() else 0
            if self.broken:
                return
            self._socket.unlink(missing_ok=True)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "studio.pages.side_process", str(self._socket), str(self._workspace.root)],
                stdin=subprocess.PIPE,  # its end is the end of this process, however that came
                start_new_session=True,  # Ctrl-C is for the server, which ends it
            )

    def close(self) -> None:
        """End the process, and let none be started any more."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.terminate()
                try:
                    self._process.wait(5)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._folder.cleanup()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back, piece by piece."""
        request = Request(scope, receive)
        if not visitor_of(request).may("talk"):
            sentence = t("This page needs the role {role}.", role=t("talk"))
            await render(request, "trouble.html", 403, sentence=sentence, back="/", title=t("That did not work"))(
                scope, receive, send
            )
            return
        self.start()
        if self.broken:
            sentence = t(
                "The program behind this page does not start; the terminal of the studio says why. Start the studio again."
            )
            await render(request, "trouble.html", 500, sentence=sentence, back="/", title=t("That did not work"))(
                scope, receive, send
            )
            return
        if not self._socket.exists():
            # Once the process is up this is never seen; the page asks again by itself.
            await _starting(request)(scope, receive, send)
            return
        await self._passed_on(request, scope, receive, send)

    async def _passed_on(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._client = self._client or httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self._socket), limits=httpx.Limits(max_connections=None)), timeout=None
        )
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in _OURS]
        # Header values are Latin-1 at best, and people's names are not.
        who = quote(visitor_of(request).name, safe="")
        headers += [(b"host", request.headers.get("host", "").encode()), (USER.encode(), who.encode())]
        target = httpx.URL("http://side").copy_with(raw_path=_raw_path(scope))
        has_body = request.method not in {"GET", "HEAD"}
        asked = client.build_request(request.method, target, headers=headers, content=request.stream() if has_body else None)
        try:
            answered = await client.send(asked, stream=True)
        except httpx.TransportError:
            await self._gone(request, scope, receive, send)
            return

        if TROUBLE in answered.headers and _wants_page(request):
            sentence = (await answered.aread()).decode(errors="replace")
            page = render(
                request, "trouble.html", answered.status_code, sentence=sentence, back="/try", title=t("That did not work")
            )
            await page(scope, receive, send)
            return

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answered.aiter_raw():
                    yield piece
            except (httpx.TransportError, asyncio.CancelledError):
                return
            finally:
                await answered.aclose()

        response = StreamingResponse(pieces(), answered.status_code)
        response.raw_headers = [(name.lower(), value) for name, value in answered.headers.raw if name.lower() not in _HOP]
        await response(scope, receive, send)

    async def _gone(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """The process ended while it was asked: a page waits for the next one, a part of a page is told."""
        self.start()
        await _starting(request)(scope, receive, send)


def _starting(request: Request) -> Response:
    """A page that asks again by itself; a part of a page is told."""
    if _wants_page(request):
        return render(request, "apps/starting.html", 503, title=t("One moment"))
    return PlainTextResponse(t("The page has ended; reload it."), 503)


def _wants_page(request: Request) -> bool:
    """True for a reader, false for a part of a page that asks."""
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")


def _raw_path(scope: Scope) -> bytes:
    """Path and query as they were asked for, still percent-encoded."""
    path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope.get("query_string", b"")
    return path + (b"?" + query if query else b"")
