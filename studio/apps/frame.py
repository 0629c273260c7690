"""What all apps share: the page, the look, and how a page is put on the network with safe defaults.

An app module builds its page inside ``page(...)`` and returns it; ``launch`` serves it::

    def build(...) -> gr.Blocks:
        with page("Chat", "Talk to a tuned model.") as blocks:
            ...
        return blocks

    launch(build(...), Door(port=7860))

Defaults: this machine only, no share link, nothing sent to anyone, no file of the disk within reach, uploads of limited size, and
an address that others can reach only with accounts. Texts a model wrote can run nothing and fetch nothing: they are made inert
before they are shown (``studio.apps.inert``), Gradio sanitizes what is left, and the page's content security policy forbids the
browser to fetch from anywhere but here.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from studio.apps.accounts import Accounts
from studio.apps.security import GuardedPage, allowed_hosts, is_loopback
from studio.apps.style import CSS, HEAD, theme
from studio.core.errors import StudioError, UserError
from studio.core.translation import speaking, t

MAX_UPLOAD_BYTES = 20 * 1024**2
# Characters.
LONGEST_QUESTION = 20_000
MAX_BODY_BYTES = 24 * 1024**2
# People waiting for one kind of work; whoever comes after is told to try again later.
MAX_WAITING = 100
_SECONDS_UNUSED_FILES_STAY = 3600


@dataclass(frozen=True)
class Door:
    """Where a page is served.

    host: address to listen on; one that others can reach needs accounts. port: None takes the first free one from 7860.
    accounts: who may come in; None lets everyone in who reaches the address. name: host name under which a proxy on this
    machine offers the page to others; it needs accounts too. open_browser: open the page in this machine's browser.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    accounts: Accounts | None = None
    name: str | None = None
    open_browser: bool = False


@dataclass(frozen=True)
class Serving:
    """A page that is being served."""

    url: str
    blocks: gr.Blocks

    def wait(self) -> None:
        """Serve until Ctrl-C or SIGTERM; the server itself runs in a thread of its own."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            while self.blocks.is_running:
                time.sleep(0.2)
        finally:
            self.close()

    def close(self) -> None:
        """Stop serving."""
        self.blocks.close(verbose=False)


@contextmanager
def page(title: str, subtitle: str = "", *, wide: bool = False) -> Iterator[gr.Blocks]:
    """A page with the studio's heading; build the app inside the block.

    Args:
        wide: use the whole width of the window, for tables and plots.
    """
    # Components remember the folder at the time they are made; pictures put elsewhere would be refused when they are asked for.
    os.environ["GRADIO_TEMP_DIR"] = _private_folder()
    blocks = gr.Blocks(
        title=f"{title} · Finetuning Studio",
        analytics_enabled=False,
        fill_width=wide,
        delete_cache=(_SECONDS_UNUSED_FILES_STAY, _SECONDS_UNUSED_FILES_STAY),
    )
    with blocks:
        heading = f"<h1>{title}</h1>" + (f"<p>{subtitle}</p>" if subtitle else "")
        gr.HTML(f'<header class="studio-head">{heading}</header>', padding=False)
        yield blocks


def question_box(placeholder: str) -> gr.Textbox:
    """Where a question is typed; it has the cursor when the page opens."""
    return gr.Textbox(
        show_label=False,
        placeholder=placeholder,
        lines=1,
        max_lines=8,
        max_length=LONGEST_QUESTION,
        scale=8,
        autofocus=True,
        elem_id="question",
    )


def in_order(what: str) -> dict[str, Any]:
    """Settings of events that are answered in the order in which they came, so that no late answer undoes a newer one.

    Args:
        what: name of what the events change; those of the same name wait for each other.
    """
    return {"concurrency_limit": 1, "concurrency_id": what, "show_progress": "hidden"}


def launch(blocks: gr.Blocks, door: Door = Door(), *, at_once: int = 1) -> Serving:
    """Serve a page and return at once.

    Args:
        at_once: how many answers are worked on at the same time; the others wait and see their place.
    Raises:
        UserError: others could reach the address and there are no accounts.
        StudioError: the port is taken.
    """
    if door.accounts is None and not is_loopback(door.host):
        raise UserError(
            f"{door.host} can be reached by others and no accounts were given. Give --accounts FILE (lines 'name:password'), "
            "or leave --host away to serve this machine only."
        )
    if door.accounts is None and door.name is not None:
        raise UserError(
            f"{door.name!r} is a name for others and no accounts were given. Give --accounts FILE (lines 'name:password')."
        )
    queued(blocks, at_once)
    guard = Middleware(GuardedPage, hosts=allowed_hosts(door.host, door.name), max_body=MAX_BODY_BYTES)
    try:
        _, url, _ = blocks.launch(
            **_launch_settings(door), app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None, "openapi_url": None}
        )
    except OSError as error:
        raise StudioError(
            f"port {door.port or '7860 to 7959'} on {door.host} cannot be used ({error}). Choose another with --port."
        ) from error
    return Serving(url, blocks)


def _launch_settings(door: Door) -> dict[str, Any]:
    """Arguments of Gradio's launch, each stated although some are its defaults: a default may change."""
    return {
        "server_name": door.host,
        "server_port": door.port,
        "auth": door.accounts.check if door.accounts else None,
        "auth_message": t("Sign in to go on."),
        "inbrowser": door.open_browser,
        "share": False,
        "strict_cors": True,
        "quiet": True,
        "prevent_thread_lock": True,
        **page_settings(),
    }


def page_settings(more_head: str = "") -> dict[str, Any]:
    """What a page may do and how it looks, as Gradio's launch and its mount take it.

    Args:
        more_head: HTML for the page's head.
    """
    return {
        "allowed_paths": [],
        "max_file_size": MAX_UPLOAD_BYTES,
        "enable_monitoring": False,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "run_history": False,
        "footer_links": [],
        "show_error": True,
        "theme": theme(),
        "css": CSS,
        "head": HEAD + more_head,
    }


def queued(blocks: gr.Blocks, at_once: int = 1) -> gr.Blocks:
    """The same page with a bounded queue that only its own events enter.

    Args:
        at_once: how many answers are worked on at the same time; the others wait and see their place.
    """
    blocks.queue(max_size=MAX_WAITING, default_concurrency_limit=at_once, api_open=False)
    return blocks


def spoken(blocks: gr.Blocks, code: str) -> gr.Blocks:
    """The same page, whose handlers speak a language too: they run long after it was built, outside of any request."""
    for handler in blocks.fns.values():
        if handler.fn is not None:
            handler.fn = _in_language(handler.fn, code)
    return blocks


def _in_language(function: Callable[..., Any], code: str) -> Callable[..., Any]:
    """A handler that speaks a language; one that gives its answer piece by piece speaks it at every piece."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def pieces(*args: Any, **given: Any) -> Iterator[Any]:
            with speaking(code):
                steps = function(*args, **given)
            while True:
                with speaking(code):
                    piece = next(steps, _OVER)
                if piece is _OVER:
                    return
                yield piece

        return pieces

    @functools.wraps(function)
    def whole(*args: Any, **given: Any) -> Any:
        with speaking(code):
            return function(*args, **given)

    return whole


_OVER = object()


def _private_folder() -> str:
    """A folder for uploads and made pictures that only this user can read; removed when the process ends."""
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="studio-app-")
        Path(_folder.name).chmod(0o700)
    return _folder.name


_folder: tempfile.TemporaryDirectory[str] | None = None


NOBODY = "-"
"""What Gradio is told where there are no accounts: it takes no empty name."""


def account(request: gr.Request | None) -> str | None:
    """Name of the account that asks; None on a page without accounts."""
    name = getattr(request, "username", None)
    return str(name) if name and name != NOBODY else None


def viewer(request: gr.Request | None, browser: str | None = None) -> str:
    """Name under which feedback is kept: the account, or else the browser's own random name."""
    return account(request) or (f"browser-{browser}" if browser else "unknown")


def run_asked_for(request: gr.Request | None) -> str | None:
    """The run that the page's address names (``?run=NAME/ID``); None where it names none."""
    wanted = getattr(request, "query_params", None) or {}
    return str(wanted.get("run") or "").strip() or None
