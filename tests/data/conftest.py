"""A folder as a person has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.made_rows import sentence


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder of question-answer rows, 60 different ones."""
    folder = tmp_path / "own"
    folder.mkdir()
    lines = ["question,answer,topic"]
    lines += [f'"What about case {number}?","{sentence(number)}",t{number % 7}' for number in range(60)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
