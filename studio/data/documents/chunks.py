"""Passages gathered to chunks: as much of one document as is asked about at once, with where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from studio.core.files import sha256_json
from studio.data.documents.base import Document, Passage

Measure = Callable[[str], int]
"""Length of a text in the unit that is asked for."""

_FENCE = re.compile(r"(```|~~~)[^\n]*\n")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])")
# A chunk that holds this share of its size ends where the next passage stands under other headings.
_FULL_ENOUGH = 0.5


@dataclass(frozen=True)
class Chunk:
    """A part of one document.

    document: the file as it is named to people. number: counted from 1 in the document. text: markdown, headings included.
    pages: first and last, None where the format has none. headings: those that its first passage stands under. ocr: some of it
    was read from a picture.
    """

    document: str
    title: str
    number: int
    text: str
    pages: tuple[int, int] | None = None
    headings: tuple[str, ...] = ()
    ocr: bool = False

    @property
    def id(self) -> str:
        """``manual.pdf#3``."""
        return f"{self.document}#{self.number}"

    @property
    def sha256(self) -> str:
        """Hash of what it says and where."""
        return sha256_json([self.document, self.title, self.number, self.text, self.pages, self.headings])


@dataclass
class _Open:
    """A chunk that is being filled."""

    lines: list[str] = field(default_factory=list)
    size: int = 0
    first: Passage | None = None
    last: Passage | None = None
    ocr: bool = False

    def add(self, text: str, size: int, passage: Passage) -> None:
        """Put a passage under what is there."""
        self.lines.append(text)
        self.size += size
        self.first, self.last = self.first or passage, passage
        self.ocr |= passage.ocr


def chunks_of(document: Document, name: str, size: int, measure: Measure = len) -> list[Chunk]:
    """Chunks of a document in reading order.

    A passage that fits a chunk is never cut, so neither is code nor a table; one that is larger is cut at the ends of its lines
    or sentences, a table gets its header again in every piece, and code its fence.

    Args:
        name: of the document.
        size: largest chunk, in the unit of ``measure``; headings above a passage count too.
    """
    title = document.title or name
    found: list[Chunk] = []
    current = _Open()

    def close() -> None:
        nonlocal current
        if current.first is not None and current.last is not None:
            found.append(_chunk(current, current.first, current.last, name, title, len(found) + 1))
        current = _Open()

    for passage in document.passages:
        above = current.last.headings if current.last else ()
        length = measure(_under_headings(passage, above))
        moved = passage.headings != above and current.size >= _FULL_ENOUGH * size
        if current.size and (moved or current.size + length > size):
            close()
            above = ()
        for piece in _pieces(passage, size, measure):
            text = _under_headings(piece, above)
            length = measure(text)
            if current.size and current.size + length > size:
                close()
                text = _under_headings(piece, ())
            current.add(text, measure(text), piece)
            above = piece.headings
    close()
    return found


def _chunk(filled: _Open, first: Passage, last: Passage, name: str, title: str, number: int) -> Chunk:
    """A filled chunk."""
    pages = (first.page, last.page) if first.page is not None and last.page is not None else None
    return Chunk(name, title, number, "\n\n".join(filled.lines), pages, first.headings, filled.ocr)


def _under_headings(passage: Passage, above: Sequence[str]) -> str:
    """A passage with those of its headings that do not hold already."""
    shared = 0
    while shared < min(len(above), len(passage.headings)) and above[shared] == passage.headings[shared]:
        shared += 1
    marked = [f"{'#' * (depth + 1)} {name}" for depth, name in enumerate(passage.headings) if depth >= shared]
    return "\n\n".join([*marked, passage.text])


def _pieces(passage: Passage, size: int, measure: Measure) -> Iterator[Passage]:
    """A passage, or parts of one that is larger than a chunk."""
    if measure(passage.text) <= size:
        yield passage
        return
    text, before, after, parts = passage.text, "", "", []
    if fence := _FENCE.match(text):
        before, after = fence.group(0), f"\n{fence.group(1)}"
        parts = text.removeprefix(before).removesuffix(after).splitlines(keepends=True)
    elif text.startswith("|") and text.count("\n") > 1:
        first, second, *rows = text.splitlines(keepends=True)
        before, parts = first + second, rows
    else:
        parts = [piece for line in text.splitlines(keepends=True) for piece in _sentences(line)]
    room = max(1, size - measure(before + after))
    for piece in _packed([cut for part in parts for cut in _cut(part, room, measure)], room, measure):
        yield Passage(f"{before}{piece.rstrip()}{after}", passage.page, passage.headings, passage.ocr)


def sentences_in(line: str) -> list[str]:
    """The sentences of a line, as far as their marks tell."""
    return [said for piece in _sentences(line) if (said := piece.strip())]


def _sentences(line: str) -> list[str]:
    """A line as sentences; together they are the line again."""
    ends = [0, *(match.end() for match in _SENTENCE.finditer(line)), len(line)]
    return [line[start:end] for start, end in pairwise(ends) if start < end]


def _cut(text: str, room: int, measure: Measure) -> Iterator[str]:
    """A line or sentence that is larger than a chunk by itself, cut at blanks, or anywhere where there are none."""
    while measure(text) > room:
        share = max(1, int(len(text) * room / measure(text)))
        while share > 1 and measure(text[:share]) > room:
            share = max(1, share * 9 // 10)
        blank = text.rfind(" ", 0, share) + 1
        end = blank if blank > share // 2 else share
        yield text[:end]
        text = text[end:]
    yield text


def _packed(parts: Sequence[str], room: int, measure: Measure) -> Iterator[str]:
    """Parts joined as long as they fit."""
    joined = ""
    for part in parts:
        if joined and measure(joined + part) > room:
            yield joined
            joined = ""
        joined += part
    if joined.strip():
        yield joined
