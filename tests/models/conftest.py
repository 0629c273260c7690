"""A base model that a test may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def copy(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy of the tiny base that a test may damage."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))
