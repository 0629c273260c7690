"""A Dataset of shapes, and the classifier that is trained on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from tests.evals.images.shapes import write_shapes


@pytest.fixture(scope="session")
def shapes_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with the Dataset ``shapes``: 90 training, 18 validation, 36 test pictures. Only ever added to."""
    workspace = Workspace.open(tmp_path_factory.mktemp("shapes") / "workspace")
    write_shapes(workspace, {"train": 90, "validation": 18, "test": 36})
    return workspace


@pytest.fixture(scope="session")
def shapes(shapes_workspace: Workspace) -> Path:
    """Folder of the Dataset ``shapes``."""
    return shapes_workspace.find_dataset("shapes")
