"""Documents that were read before are not read anew, unless their bytes or the code changed, or nothing can be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.data.documents import shelf as shelf_module
from studio.data.documents.base import Document, read_document
from studio.data.documents.shelf import opened_shelf
from studio.data.memo import HashMemo
from tests.data.documents.making import page_of, write_pdf


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the documents that were really read."""
    names: list[str] = []

    def counted(path: Path) -> Document:
        names.append(path.name)
        return read_document(path)

    monkeypatch.setattr(shelf_module, "read_document", counted)
    return names


def test_the_second_time_a_document_is_known(tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_pdf(tmp_path / "a.pdf", [page_of("Ovens", ("Hot.",)), []], title="Manual")
    found = []
    for _ in range(2):
        with opened_shelf(tmp_path / "cache", HashMemo(tmp_path / "memo.json")) as shelf:
            found.append(shelf.read(file))
    assert read == ["a.pdf"] and found[0] == found[1] == read_document(file) and "1 of 2 pages" in found[1].notes[0]
    write_pdf(file, [page_of("Doors", ("Wide.",))])
    with opened_shelf(tmp_path / "cache", HashMemo(tmp_path / "memo.json")) as shelf:
        assert shelf.read(file).passages[0].text == "Wide."
    monkeypatch.setattr(shelf_module, "_reader_version", lambda: ["another"])
    with opened_shelf(tmp_path / "cache", HashMemo(tmp_path / "memo.json")) as shelf:
        shelf.read(file)
    assert read == ["a.pdf"] * 3


def test_where_nothing_can_be_kept_all_is_read(tmp_path: Path, read: list[str]) -> None:
    file = tmp_path / "a.md"
    file.write_text("Hot.", encoding="utf-8")
    (tmp_path / "cache").write_text("a file where a folder is needed", encoding="utf-8")
    for _ in range(2):
        with opened_shelf(tmp_path / "cache", HashMemo(tmp_path / "memo.json")) as shelf:
            assert shelf.read(file).passages[0].text == "Hot."
    assert read == ["a.md", "a.md"]
