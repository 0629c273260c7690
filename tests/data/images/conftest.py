"""Folders of pictures as a person has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.images.made_pictures import scene


@pytest.fixture
def own_pictures(tmp_path: Path) -> Path:
    """Twenty pictures with side-cars."""
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(20):
        scene(number).save(folder / f"scene-{number:02}.png")
        (folder / f"scene-{number:02}.txt").write_text(f"shapes number {number}\n", encoding="utf-8")
    return folder
