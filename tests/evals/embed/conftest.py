"""The tiny encoder and its Datasets, built once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.core.extras import available
from tests.retrieval import PAIRS, QUESTIONS, build_questions, build_tiny_encoder

# Without the extra `embed` there is nothing to test here.
collect_ignore_glob = [] if available("sentence_transformers") else ["test_*.py"]


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return build_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="session")
def questions_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a workspace of two Datasets, ``rooms`` of questions and ``liked`` of preferences, that tests copy."""
    folder = tmp_path_factory.mktemp("questions")
    build_questions(folder, "rooms", QUESTIONS)
    build_questions(folder, "liked", PAIRS)
    return folder


@pytest.fixture
def questions(questions_made: Path, tmp_path: Path) -> Path:
    """A copy of the test's own."""
    return Path(shutil.copytree(questions_made, tmp_path / "questions"))
