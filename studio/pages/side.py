"""The pages of Gradio beside ours: a process of their own behind a socket that only this user can reach.

Gradio and the models that people talk to take seconds to load and hold the interpreter while they compute; here they hold up
nobody who looks at another page. The process is started again when it has ended.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from studio.core.translation import language, t
from studio.core.workspace import Workspace
from studio.pages.rendering import render, visitor_of

USER = "x-studio-user"
"""Header in which the process beside is told who asks; what a browser sends under this name is not passed on."""
_OURS = {"host", "content-length", "transfer-encoding", "connection", "cookie", "x-studio-user", "x-studio-token"}
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length"}


class Side:
    """The process, and the road to it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = tempfile.TemporaryDirectory(prefix="studio-side-")
        Path(self._folder.name).chmod(0o700)
        self._socket = Path(self._folder.name) / "socket"
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Start the process where there is none, or it has ended."""
        if self._process is not None and self._process.poll() is None:
            return
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "studio.pages.side_process", str(self._socket), str(self._workspace.root)],
            stdin=subprocess.PIPE,  # its end is the end of this process, however that came
        )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._folder.cleanup()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back, piece by piece."""
        request = Request(scope, receive)
        if not visitor_of(request).may("talk"):
            await PlainTextResponse(t("This page needs the role {role}.", role=t("talk")), 403)(scope, receive, send)
            return
        self.start()
        if not self._socket.exists():
            # Once the process is up this is never seen; the page asks again by itself.
            await render(request, "apps/starting.html", 503, title=t("One moment"))(scope, receive, send)
            return
        await self._passed_on(request, scope, receive, send)

    async def _passed_on(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._client = self._client or httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self._socket), limits=httpx.Limits(max_connections=None)), timeout=None
        )
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in _OURS]
        headers += [
            (b"host", request.headers.get("host", "").encode()),
            (USER.encode(), visitor_of(request).name.encode("utf-8")),
        ]
        headers.append((b"x-studio-language", language().encode()))
        target = httpx.URL(scheme="http", host="side", path=request.url.path, query=request.url.query.encode())
        has_body = request.method not in {"GET", "HEAD"}
        asked = client.build_request(request.method, target, headers=headers, content=request.stream() if has_body else None)
        try:
            answered = await client.send(asked, stream=True)
        except httpx.TransportError:
            await PlainTextResponse(t("The page has ended; reload it."), 502)(scope, receive, send)
            return
        kept = {name: value for name, value in answered.headers.items() if name.lower() not in _HOP}

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answered.aiter_bytes():
                    yield piece
            except (httpx.TransportError, asyncio.CancelledError):
                return
            finally:
                await answered.aclose()

        await StreamingResponse(pieces(), answered.status_code, kept)(scope, receive, send)
