"""Chunks: nothing is lost, nothing crosses documents, code and tables stay whole where they fit."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from studio.data.documents.base import Document, Passage
from studio.data.documents.chunks import chunks_of


def words(text: str) -> list[str]:
    return text.split()


def test_passages_are_gathered_with_pages_and_headings() -> None:
    passages = (
        Passage("a" * 30, 1, ("Ovens",)),
        Passage("b" * 30, 2, ("Ovens", "Heat")),
        Passage("c" * 60, 3, ("Doors",)),
    )
    first, second = chunks_of(Document(passages, "Manual"), "m.pdf", 100)
    assert (first.id, first.title, first.pages, first.headings) == ("m.pdf#1", "Manual", (1, 2), ("Ovens",))
    assert first.text == f"# Ovens\n\n{'a' * 30}\n\n## Heat\n\n{'b' * 30}"
    assert (second.pages, second.headings, second.text) == ((3, 3), ("Doors",), f"# Doors\n\n{'c' * 60}")


def test_code_and_tables_stay_whole_where_they_fit() -> None:
    code = "```python\n" + "\n\n".join(f"x{number} = {number}" for number in range(6)) + "\n```"
    found = chunks_of(Document((Passage("One. " * 10), Passage(code), Passage("Two."))), "a.md", len(code) + 8)
    assert [code in chunk.text for chunk in found] == [False, True]


def test_what_is_larger_than_a_chunk_is_cut_with_its_header_and_fence() -> None:
    table = "| part | size |\n|---|---|\n" + "\n".join(f"| part {number} | {number} |" for number in range(20))
    pieces = [chunk.text for chunk in chunks_of(Document((Passage(table),)), "a.md", 120)]
    assert len(pieces) > 3 and all(piece.startswith("| part | size |\n|---|---|\n") and len(piece) <= 120 for piece in pieces)
    assert sum(piece.count("| part ") for piece in pieces) - len(pieces) == 20
    code = "```\n" + "\n".join(f"line {number}" for number in range(30)) + "\n```"
    pieces = [chunk.text for chunk in chunks_of(Document((Passage(code),)), "a.md", 60)]
    assert all(piece.startswith("```\n") and piece.endswith("\n```") for piece in pieces)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["one", "two.", "three!", "x" * 50]), min_size=1, max_size=30), max_size=8),
    st.integers(20, 90),
)
def test_no_word_is_lost_and_no_chunk_too_large(texts: list[list[str]], size: int) -> None:
    document = Document(tuple(Passage(" ".join(text)) for text in texts))
    found = chunks_of(document, "a.txt", size)
    assert all(0 < len(chunk.text) - 2 * chunk.text.count("\n\n") <= size for chunk in found)
    assert "".join("".join(words(chunk.text)) for chunk in found) == "".join("".join(text) for text in texts)
    assert [chunk.number for chunk in found] == list(range(1, len(found) + 1))
