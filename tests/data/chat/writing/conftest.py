"""A folder of documents, a writer, and builds of a recipe over them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.core.workspace import Workspace
from studio.data.build import BuildOutcome
from studio.data.chat.build import build_chat_dataset
from studio.data.chat.rows import ChatRow, RemovedRow, read_removed, read_split
from studio.schema.loading import load_value
from studio.schema.recipe import ChatRecipe
from tests.data.chat.writing.writer_server import WriterServer
from tests.data.documents.making import WEB_PAGE, page_of, write_docx, write_pdf
from tests.servers import serving

FAQ = """# Parking

Q: Where do visitors park?
A: Visitors park behind the house.

Q: What does a garage cost?
A: A garage costs forty coins a month.
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pdf, a docx, a web page and a markdown FAQ."""
    place = tmp_path / "docs"
    place.mkdir()
    oven = ("An oven heats up in 10 minutes at most.", "It is cleaned on Fridays by the caretaker.")
    door = ("A fire door is 80 centimetres wide.", "Nobody may put things before the fire door.")
    write_pdf(place / "manual.pdf", [page_of("Ovens", oven), page_of("Doors", door)], title="Manual")
    write_docx(place / "laundry.docx", title="Laundry book")
    (place / "rules.html").write_text(WEB_PAGE, encoding="utf-8")
    (place / "faq.md").write_text(FAQ, encoding="utf-8")
    return place


@pytest.fixture
def writer() -> Iterator[WriterServer]:
    with serving(WriterServer()) as server:
        yield server


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.data.chat.writing.client._PAUSES", (0.0, 0.0))


@dataclass(frozen=True)
class Built:
    """A Dataset and what is in it."""

    outcome: BuildOutcome

    @property
    def rows(self) -> list[ChatRow]:
        return [row for split in self.outcome.record.splits for row in read_split(self.outcome.folder, split)]

    @property
    def removed(self) -> list[RemovedRow]:
        return read_removed(self.outcome.folder)

    @property
    def facts(self) -> dict[str, Any]:
        return (self.outcome.record.model_extra or {})["writers"]["docs"]

    def reasons(self) -> list[str]:
        return sorted(gone.reason for gone in self.removed)


Build = Callable[..., Built]


@pytest.fixture
def build(folder: Path, writer: WriterServer, workspace: Workspace) -> Build:
    """Build a recipe over the folder; ``--set`` values change it."""

    def made(*changes: str, space: Workspace = workspace, **source: Any) -> Built:
        asked = {"base_url": f"{writer.url}/v1", "model": "writer-1", "at_once": 1}
        recipe = {
            "kind": "chat",
            "sources": [
                {"type": "documents", "path": str(folder), "name": "docs", "licence": "own data", "writer": asked, **source}
            ],
            "split": {"validation": 0, "test": 0},
        }
        return Built(build_chat_dataset(load_value(recipe, ChatRecipe, changes), space, name="docs", beside=folder))

    return made


def copy_of(folder: Path, name: str, *files: str) -> Path:
    """Some of a folder's files in one of their own."""
    place = folder.parent / name
    place.mkdir()
    for file in files:
        shutil.copy(folder / file, place)
    return place
