"""A browser, a tiny model that answers, and a server of our own that misbehaves on demand."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace

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


THINGS = ("door", "window", "stair", "balcony", "roof", "wall", "exit", "rail", "cellar", "chimney")
RECIPE = """kind: chat
sources:
  - {type: local, path: doors.jsonl, licence: own data}
steps:
  - step: whitespace
  - step: drop_empty
  - step: exact_duplicates
split: {validation: 4, test: 6}
"""
PRESET = """kind: chat
method: full
dtype: float32
max_length: 256
batch_size: 8
epochs: 12
learning_rate: 0.01
"""


def write_recipe(folder: Path) -> None:
    """Forty questions with answers, one of them twice and one without a question, and a recipe that reads them."""
    rows = [
        {"question": f"How wide must {THINGS[n % 10]} {n} be?", "answer": f"It must be at least {n} centimetres wide."}
        for n in range(40)
    ]
    rows += [rows[0], {"question": "", "answer": "nothing asked"}]
    folder.mkdir(exist_ok=True)
    (folder / "doors.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    (folder / "doors.yaml").write_text(RECIPE, encoding="utf-8")


@pytest.fixture(scope="session")
def talking_made(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory, call: Callable[..., int]) -> Path:
    """A workspace with a run that has learnt to answer in whole sentences."""
    folder = tmp_path_factory.mktemp("talking")
    write_recipe(folder)
    (folder / "small.yaml").write_text(PRESET, encoding="utf-8")
    space = ["--workspace", folder / "workspace"]
    assert call("data", "build", folder / "doors.yaml", *space) == 0
    assert call("train", folder / "small.yaml", "--data", "doors", "--model", tiny_base, "--name", "doors", *space) == 0
    return folder / "workspace"


@pytest.fixture(scope="session")
def call() -> Callable[..., int]:
    """Run one command line in this process and return its exit code."""
    from studio.cli import output
    from studio.cli.main import run

    def call_studio(*arguments: object) -> int:
        output.set_json(False)
        output.set_workspace(None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("studio.cli.quiet.quiet_libraries", lambda: None)
            return run([str(argument) for argument in arguments])

    return call_studio


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
def stocked(house: Workspace, tmp_path: Path, call: Callable[..., int]) -> Workspace:
    """A workspace with a Dataset and no run."""
    folder = tmp_path / "recipes"
    write_recipe(folder)
    assert call("data", "build", folder / "doors.yaml") == 0
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


@dataclass
class Endpoint:
    """An OpenAI-compatible server that says what it is told to, as brokenly as it is told to.

    answer: words that are streamed; pause: seconds between them; fault: what goes wrong. seen: bodies of the requests.
    """

    url: str = ""
    answer: str = "A short answer."
    pause: float = 0.0
    fault: str | None = None
    models: list[str] = field(default_factory=lambda: ["alpha", "beta"])
    finish: str = "stop"
    repeat_question: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    running: int = 0
    most_running: int = 0


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A server that streams what the test wants."""
    state = Endpoint()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _json(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            if state.fault == "key":
                self._json(401, {"error": {"message": "no key"}})
            else:
                self._json(200, {"data": [{"id": name} for name in state.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.seen.append(body)
            state.keys.append(self.headers.get("authorization"))
            if state.fault == "busy":
                self._json(429, {"error": {"message": "slow down"}})
                return
            if state.fault == "too long" and len(body["messages"]) > 1:
                self._json(400, {"error": {"message": "This model's maximum context length is 512 tokens."}})
                return
            if state.fault == "always too long":
                self._json(400, {"error": {"message": "This model's maximum context length is 512 tokens."}})
                return
            with lock:
                state.running += 1
                state.most_running = max(state.most_running, state.running)
            try:
                self._stream(body)
            finally:
                with lock:
                    state.running -= 1

        def _stream(self, body: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.close_connection = True
            text = state.answer.replace("{model}", body["model"])
            text += f" [{body['messages'][-1]['content']}]" if state.repeat_question else ""
            words = text.split(" ")
            for index, word in enumerate(words):
                if state.fault == "break" and index == 3:
                    return
                part = word + (" " if index + 1 < len(words) else "")
                self._event({"choices": [{"delta": {"content": part}, "finish_reason": None}]})
                time.sleep(state.pause)
            self._event({"choices": [{"delta": {}, "finish_reason": state.finish}]})
            self._event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(words)}})
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, value: Any) -> None:
            try:
                self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
                self.wfile.flush()
            except OSError:
                raise ConnectionAbortedError from None

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that leaves is no error."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()


@dataclass
class Canary:
    """A server that nobody should ever call; calls lists the paths that were asked for."""

    url: str
    calls: list[str]


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A server that writes down every call."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(200)
            self.send_header("access-control-allow-origin", "*")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Canary(f"http://127.0.0.1:{server.server_port}", calls)
    server.shutdown()
    server.server_close()
