"""A browser, a tiny model that answers, and a server of our own that misbehaves on demand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from tests.conftest import DOORS, call_studio, make_project, write_doors
from tests.servers import Canary, Scripted, canary_listening, serving

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# Not for the whole session: while Playwright is open, asyncio.run of another test in this thread is refused.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium of this machine, or a skip that says what is missing."""
    path = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(_BROWSERS)}): the apps are not driven in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with playwright.sync_playwright() as engine:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = engine.chromium.launch(executable_path=path, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page as a person with a browser of their own; ``again`` takes the same browser as before."""
    contexts: list[Any] = []

    def open_page(url: str, *, again: Any = None, **settings: Any) -> Any:
        context = again.context if again else browser.new_context(viewport={"width": 1200, "height": 950}, **settings)
        if not again:
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def talking_made(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run that has learnt to answer in whole sentences."""
    folder = tmp_path_factory.mktemp("talking")
    return make_project(folder, tiny_base, "method=full", "epochs=12") / "workspace"


@pytest.fixture
def talking(talking_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of the test's own with a run to talk to."""
    workspace = Workspace.open(shutil.copytree(talking_made, tmp_path / "workspace"))
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    return workspace


@pytest.fixture
def house(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace that commands use, for apps that talk to an address."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    return workspace


@pytest.fixture
def stocked(house: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with a Dataset, of which one row was there twice and one had no question, and no run."""
    folder = tmp_path / "recipes"
    write_doors(folder, DOORS[0], {"question": "", "answer": "nothing asked"})
    assert call_studio("data", "build", folder / "doors.yaml") == 0
    return house


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve an app with its defaults; gives the address."""
    from studio.apps.frame import Door, launch

    serving: list[Any] = []

    def start(blocks: Any, door: Any = None) -> str:
        serving.append(launch(blocks, door or Door()))
        return str(serving[-1].url)

    yield start
    for one in serving:
        one.close()


@pytest.fixture
def endpoint() -> Iterator[Scripted]:
    """A server that streams what the test wants."""
    with serving(Scripted()) as server:
        yield server


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A server that writes down every call."""
    with canary_listening() as found:
        yield found
