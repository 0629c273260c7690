"""Real Datasets that fit a search into seconds: iris and breast cancer, as scikit-learn has them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from tests.conftest import call_studio


@pytest.fixture(scope="session")
def flowers_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the Dataset iris: 104 rows to learn from, 15 to choose by, 30 that nothing sees."""
    root = tmp_path_factory.mktemp("flowers") / "workspace"
    assert call_studio("data", "build", "table/iris", "--workspace", root) == 0
    return root


@pytest.fixture
def flowers(flowers_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it that is the test's own, and the one that commands use."""
    root = Path(shutil.copytree(flowers_made, tmp_path / "workspace"))
    monkeypatch.setenv("STUDIO_WORKSPACE", str(root))
    return Workspace.open(root)
