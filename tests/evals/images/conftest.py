"""A Dataset of shapes, and the classifier that is trained on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from studio.core.workspace import Workspace
from tests.conftest import Result, call_studio
from tests.evals.images.shapes import train_shapes, write_shapes


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


@pytest.fixture(scope="session")
def shape_runs(shapes_workspace: Workspace, shapes: Path) -> tuple[Path, Path]:
    """A run from scratch and a LoRA tuned on it, in the workspace of the shapes."""
    return train_shapes(shapes_workspace, shapes)


@pytest.fixture
def studio(
    shapes_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Call ``studio`` in this process, in the workspace of the shapes, where no weights of other networks are found."""
    monkeypatch.setenv("STUDIO_WORKSPACE", str(shapes_workspace.root))
    monkeypatch.setenv("STUDIO_CACHE", str(shapes_workspace.root / "no-weights"))
    monkeypatch.setenv("TORCH_HOME", str(shapes_workspace.root / "no-weights"))
    for name in ("STUDIO_INCEPTION_WEIGHTS", "STUDIO_CLIP"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = call_studio(*arguments)
        return Result(code, *capsys.readouterr())

    return call
