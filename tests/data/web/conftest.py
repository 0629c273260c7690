from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.web.site import Site, served


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site whose crawls are kept in a folder of their own; the network counts as switched on."""
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HUB_OFFLINE", "STUDIO_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    made = Site()
    server = served(made)
    yield made
    server.shutdown()
    server.server_close()
