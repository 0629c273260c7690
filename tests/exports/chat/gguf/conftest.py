"""Fixtures for exports to GGUF: llama.cpp where it is installed, and a studio without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.environments import find_python
from studio.core.errors import UserError
from studio.models.chat.runtimes.llama import LLAMA


@pytest.fixture
def llama() -> Path:
    """The Python of the environment; a test that needs it is skipped where it is not installed."""
    try:
        return find_python(LLAMA)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture
def no_llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which llama.cpp was never installed."""
    monkeypatch.delenv(LLAMA.variable, raising=False)
    monkeypatch.setenv("STUDIO_CACHE", str(tmp_path / "empty-cache"))
