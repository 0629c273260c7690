"""A browser, a tiny model that answers, and a server of our own that misbehaves on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from tests.conftest import DOORS, call_studio, write_doors
from tests.servers import Canary, canary_listening


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
def canary() -> Iterator[Canary]:
    """A server that writes down every call."""
    with canary_listening() as found:
        yield found
