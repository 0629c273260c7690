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
