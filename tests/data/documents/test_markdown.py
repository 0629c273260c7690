"""Passages of markdown keep their headings, and code stays whole."""

from __future__ import annotations

from pathlib import Path

from studio.data.documents.base import Passage, read_document


def test_passages_stand_under_their_headings_and_code_stays_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    text = "before\n\n# Ovens\nTwo\nlines.\n\n## Heat\n```\n# no heading\n\nx = 1\n```\n# Doors\nOak.\n"
    file.write_text(text, encoding="utf-8")
    found = read_document(file)
    assert found.title == "Ovens"
    assert found.passages == (
        Passage("before"),
        Passage("Two\nlines.", None, ("Ovens",)),
        Passage("```\n# no heading\n\nx = 1\n```", None, ("Ovens", "Heat")),
        Passage("Oak.", None, ("Doors",)),
    )
