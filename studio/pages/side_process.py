"""``python -m studio.pages.side_process SOCKET WORKSPACE``: all pages of Gradio, built when first asked for.

Addresses are ``/apps/NAME/LANGUAGE/``; with ``of/A/B/`` behind it a page begins with that Run or Dataset, with ``served/PORT/``
it talks to the server that runs on that port. A run that a page only chooses first stands in the query (``?run=NAME/ID``).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request

from studio.apps import opening
from studio.apps.catalogue import APPS, TALKING, page_builder
from studio.apps.frame import NOBODY, page_settings, queued, spoken
from studio.core.errors import StudioError, UserError
from studio.core.translation import LANGUAGES, PSEUDO, speaking
from studio.core.workspace import Workspace
from studio.pages.side import TROUBLE, USER, end_quietly

_NAVIGATION = "".join(
    [
        '<link rel="icon" href="/static/mark.svg" type="image/svg+xml">',
        '<script src="/static/beside.js" defer></script>',
        *(f'<link rel="stylesheet" href="/static/{name}.css">' for name in ("road", "beside")),
    ]
)
# Pages that were built for one Run, Dataset or server; the ones not asked for longest go.
_MOST_BUILT = 24


@dataclass(frozen=True)
class Place:
    """Which page is meant. reference: what it begins with, None for its own choice; port: of a server that it talks to."""

    name: str
    language: str
    reference: str | None = None
    port: int | None = None

    @property
    def path(self) -> str:
        """Where it is mounted."""
        further = f"/of/{self.reference}" if self.reference else f"/served/{self.port}" if self.port else ""
        return f"/apps/{self.name}/{self.language}{further}"


def place_of(path: str) -> Place | None:
    """The page of a path; None where there is none."""
    parts = path.split("/")
    if len(parts) < 4 or parts[1] != "apps" or parts[2] not in APPS or parts[3] not in {*LANGUAGES, PSEUDO}:
        return None
    name, language, further = parts[2], parts[3], parts[4:]
    if further[:1] == ["of"] and not APPS[name].whole_workspace:
        plain = len(further) > 2 and all(part and not part.startswith(".") for part in further[1:3])
        return Place(name, language, reference=f"{further[1]}/{further[2]}") if plain else None
    if further[:1] == ["served"] and len(further) > 1 and name in TALKING and further[1].isdigit():
        return Place(name, language, port=int(further[1]))
    return Place(name, language)


class Pages:
    """ASGI: what :func:`place_of` finds, built once, with all that lives as long as it does."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._built: OrderedDict[Place, Any] = OrderedDict()
        self._lock = asyncio.Lock()
        self._lives = AsyncExitStack()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on to its page."""
        if scope["type"] != "http":
            return
        place = place_of(scope["path"])
        if place is None:
            await _trouble(send, 404, "There is no such page.")
            return
        try:
            page = await self._page(place)
        except StudioError as error:
            await _trouble(send, 422 if isinstance(error, UserError) else 500, str(error))
            return
        await page(scope, receive, send)

    async def close(self) -> None:
        """End what lives as long as the pages."""
        await self._lives.aclose()

    async def _page(self, place: Place) -> Any:
        """The application of a page, built once."""
        async with self._lock:
            if place not in self._built:
                page = await asyncio.to_thread(self._build, place)
                # What Gradio does beside answering: it takes old uploads and pictures away.
                await self._lives.enter_async_context(page.router.lifespan_context(page))
                self._built[place] = page
                while len(self._built) > _MOST_BUILT:
                    self._built.popitem(last=False)
            self._built.move_to_end(place)
            return self._built[place]

    def _build(self, place: Place) -> Any:
        """Make a page.

        Raises:
            StudioError: it cannot be made, for example because nothing was trained yet.
        """
        with speaking(place.language):
            blocks = self._served(place) if place.port else page_builder(place.name, self._found(place))(self._workspace)
        return _mounted(queued(spoken(blocks, place.language)), place.path)

    def _found(self, place: Place) -> str | None:
        """The Run or Dataset of a place, which lies in this workspace and nowhere else.

        Raises:
            UserError: there is none.
        """
        if place.reference is None:
            return None
        for root, file in ((self._workspace.runs, "run.json"), (self._workspace.datasets, "dataset.json")):
            if (root / place.reference / file).is_file():
                return str(root / place.reference)
        raise UserError(f"there is no Run and no Dataset {place.reference} in {self._workspace.root}.")

    def _served(self, place: Place) -> gr.Blocks:
        """A page that talks to a server of this workspace, and to no other address.

        Raises:
            UserError: none runs on that port.
        """
        from studio.serve.state import StatePaths, choose_server

        server = choose_server(StatePaths.of(self._workspace), place.port)
        assert server is not None
        shelf = opening.open_shelf(self._workspace, server.url, server.key)
        blocks: gr.Blocks = TALKING.get(place.name)(shelf, self._workspace)
        return blocks


def _mounted(blocks: gr.Blocks, path: str) -> FastAPI:
    """A page of Gradio under a path of an application of its own."""
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(site, blocks, path=path, auth_dependency=_user, **page_settings(_NAVIGATION))
    return site


def _user(request: Request) -> str:
    """Who asks, as the process before this one has found out."""
    return unquote(request.headers.get(USER, "")) or NOBODY


async def _trouble(send: Any, status: int, text: str) -> None:
    """One sentence, which the process before this one puts into a page of its own."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (TROUBLE.encode(), b"1")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _end_with_parent(server: uvicorn.Server, folder: Path) -> None:
    """Leave once the process that started this one is gone, however it ended: its end of the pipe closes."""
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    server.should_exit = server.force_exit = True


def main() -> None:
    """Serve the pages on the socket that is given."""
    os.nice(5)
    # uvicorn raises the signal again once it has ended; by default that would leave uploads and pictures on the disk.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    opening.share()
    socket, workspace = Path(sys.argv[1]), Workspace.open(sys.argv[2])
    temporary = socket.with_suffix(".making")
    pages = Pages(workspace)
    config = uvicorn.Config(pages, uds=str(temporary), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    threading.Thread(target=_end_with_parent, args=(server, socket.parent), daemon=True).start()
    threading.Thread(target=_show_once_up, args=(server, temporary, socket), daemon=True).start()
    end_quietly()
    asyncio.run(_serve(server, pages))


async def _serve(server: uvicorn.Server, pages: Pages) -> None:
    """Answer until a signal, and end what lives beside the pages."""
    try:
        await server.serve()
    finally:
        await pages.close()


def _show_once_up(server: uvicorn.Server, temporary: Path, socket: Path) -> None:
    """Give the socket its name once it answers."""
    while not server.started:
        time.sleep(0.05)
    temporary.rename(socket)


if __name__ == "__main__":
    main()
