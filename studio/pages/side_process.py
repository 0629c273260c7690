"""``python -m studio.pages.side_process SOCKET WORKSPACE``: all pages of Gradio, built when first asked for."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request

from studio.apps.catalogue import APPS, page_builder
from studio.apps.frame import dress, spoken
from studio.core.errors import StudioError
from studio.core.translation import LANGUAGES, PSEUDO, speaking
from studio.core.workspace import Workspace
from studio.pages.side import USER

_NAVIGATION = "".join(
    [
        '<script src="/static/beside.js" defer></script>',
        *(f'<link rel="stylesheet" href="/static/{name}.css">' for name in ("road", "beside")),
    ]
)


class Pages:
    """ASGI: ``/apps/NAME/LANGUAGE/...``."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._built: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on to its page."""
        if scope["type"] != "http":
            return
        parts = scope["path"].split("/")
        known = len(parts) > 3 and parts[1] == "apps" and parts[2] in APPS and parts[3] in {*LANGUAGES, PSEUDO}
        if not known:
            await _plain(send, 404, "There is no such page.")
            return
        try:
            from anyio import to_thread

            page = await to_thread.run_sync(self._page, parts[2], parts[3])
        except StudioError as error:
            await _plain(send, 422, str(error))
            return
        await page(scope, receive, send)

    def _page(self, name: str, language: str) -> Any:
        """The application of a page, built once."""
        with self._lock:
            if (name, language) not in self._built:
                with speaking(language):
                    blocks = page_builder(name, None)(self._workspace)
                self._built[name, language] = _mounted(spoken(blocks, language), f"/apps/{name}/{language}")
            return self._built[name, language]


def _mounted(blocks: gr.Blocks, path: str) -> Any:
    """A page of Gradio under a path of an application of its own."""
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    return gr.mount_gradio_app(site, blocks, path=path, auth_dependency=_user, **dress(_NAVIGATION))


def _user(request: Request) -> str:
    """Who asks, as the process before this one has found out; Gradio takes no empty name."""
    return request.headers.get(USER) or "-"


async def _plain(send: Any, status: int, text: str) -> None:
    """One sentence."""
    body = text.encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain; charset=utf-8")]})
    await send({"type": "http.response.body", "body": body})


def _end_with_parent() -> None:
    """Leave once the process that started this one is gone: its end of the pipe closes."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Serve the pages on the socket that is given."""
    os.nice(5)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    socket, workspace = Path(sys.argv[1]), Workspace.open(sys.argv[2])
    temporary = socket.with_suffix(".making")
    server = uvicorn.Server(uvicorn.Config(Pages(workspace), uds=str(temporary), log_level="error", lifespan="off"))
    threading.Thread(target=_show_once_up, args=(server, temporary, socket), daemon=True).start()
    server.run()


def _show_once_up(server: uvicorn.Server, temporary: Path, socket: Path) -> None:
    """Give the socket its name once it answers."""
    import time

    while not server.started:
        time.sleep(0.05)
    temporary.rename(socket)


if __name__ == "__main__":
    main()
