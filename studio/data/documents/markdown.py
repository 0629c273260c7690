"""Markdown and plain texts: passages are what stands between empty lines; headings are kept with what stands under them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from studio.data.documents.base import Document, Passage, read_text

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*")
_FENCE = re.compile(r"\s*(```|~~~)")


def read_markdown(path: Path) -> Document:
    """A markdown file; its title is its first heading of the first level."""
    text, notes = read_text(path)
    return titled(text, notes=notes)


def titled(text: str, title: str | None = None, notes: Iterable[str] = ()) -> Document:
    """A document from markdown; without a title its first outermost heading is taken."""
    passages = passages_of(text)
    first = next((passage.headings[0] for passage in passages if passage.headings), None)
    return Document(tuple(passages), title or first, tuple(notes))


def read_plain(path: Path) -> Document:
    """A text file, in which a line is never a heading."""
    text, notes = read_text(path)
    blocks = re.split(r"\n\s*\n", text)
    return Document(tuple(Passage(block.strip()) for block in blocks if block.strip()), notes=notes)


def passages_of(text: str) -> list[Passage]:
    """Passages of markdown; a fence of code is one passage whatever lines it holds."""
    found: list[Passage] = []
    headings: dict[int, str] = {}
    block: list[str] = []
    fence = None

    def close() -> None:
        if whole := "\n".join(block).strip("\n"):
            found.append(Passage(whole, None, tuple(headings[level] for level in sorted(headings))))
        block.clear()

    for line in text.splitlines():
        mark = _FENCE.match(line)
        ends = mark is not None and fence == mark.group(1)
        if mark and fence is None:
            close()
            fence = mark.group(1)
        elif ends:
            fence = None
        heading = _HEADING.fullmatch(line) if fence is None else None
        if heading or (not line.strip() and fence is None):
            close()
        if heading:
            level = len(heading.group(1))
            headings = {at: name for at, name in headings.items() if at < level} | {level: heading.group(2)}
        elif line.strip() or fence is not None:
            block.append(line)
        if ends:
            close()
    close()
    return found
