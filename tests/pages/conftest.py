"""The studio in the browser over a workspace of the test's own: as a program asks it, and on a real address."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from studio.apps.accounts import Accounts
from studio.core.workspace import Workspace
from studio.pages.serving import Studio
from studio.pages.site import build_site

ADDRESS = "http://127.0.0.1"


@dataclass
class Reader:
    """A browser without a window: keeps cookies, and sends what the forms of the pages it read would send."""

    client: TestClient
    language: str = "en"

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, headers={"accept": "text/html", "accept-language": self.language}, **more)

    def token(self) -> str:
        """What forms carry; every page that has one has the same."""
        found = re.search(r'name="token" value="([^"]+)"', self.get("/train").text + self.get("/").text)
        return found[1] if found else ""

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> Any:
        headers = {"accept": "text/html", "x-studio-token": self.token(), "origin": ADDRESS, **more.pop("headers", {})}
        return self.client.post(path, data=data, headers=headers, **more)


@pytest.fixture
def site(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Reader]]:
    """Open the studio as a reader; ``name`` and ``password`` sign in first."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    clients: list[TestClient] = []

    def read(
        at: Workspace = workspace, accounts: Accounts | None = None, name: str = "", password: str = "", language: str = "en"
    ) -> Reader:
        client = TestClient(build_site(at, accounts=accounts), base_url=ADDRESS, raise_server_exceptions=True)
        clients.append(client)
        if name:
            client.post("/sign-in", data={"name": name, "password": password})
        return Reader(client, language)

    yield read
    for client in clients:
        client.close()


@pytest.fixture
def address(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Serve the studio on a free port; gives its address without the last slash."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(workspace.root))
    served: list[Studio] = []

    def serve(at: Workspace = workspace, **settings: Any) -> str:
        studio = Studio(at, **settings)
        studio.start()
        served.append(studio)
        return studio.url.rstrip("/")

    yield serve
    for studio in served:
        studio.close()
