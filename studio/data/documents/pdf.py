"""PDF files through pypdfium2: paragraphs, headings by their size, page numbers. A page without text is read by OCR, or told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from studio.core.errors import DataError
from studio.core.extras import require
from studio.core.telling import counted
from studio.data.documents.base import EXTRA, Document, Passage, check_size
from studio.data.documents.scans import EXTRA as OCR_EXTRA
from studio.data.documents.scans import can_read_scans, read_scan

# A line this much larger than the usual one, and no longer than this, is a heading; a gap of this share of a line's size parts
# paragraphs.
_LARGER, _HEADING_CHARACTERS = 1.15, 120
_GAP = 0.9
_MOST_PAGES = 5000
# A word that is cut at the end of a line, as pdfium marks it.
_CUT = ("\ufffe", "\x02", "\u00ad")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class _Line:
    """A line on a page. size: of its letters; top, bottom: in points from the page's lower edge. sure: of OCR, None for text."""

    text: str
    page: int
    size: float
    top: float
    bottom: float
    sure: float | None = None


def read_pdf(path: Path) -> Document:
    """A PDF file.

    Raises:
        DataError: it is damaged, encrypted, or has more than 5,000 pages.
        MissingExtraError: pypdfium2 is not installed.
    """
    pdfium: Any = require("pypdfium2", feature=f"reading {path.name}", extra=EXTRA)
    check_size(path)
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise DataError(f"{path} is encrypted. Save a copy without a password.") from None
        raise DataError(f"{path} is damaged or no PDF ({str(error).rstrip('.')}). Save it again.") from error
    try:
        count = len(document)
        if count > _MOST_PAGES:
            raise DataError(f"{path} has {count:,} pages, more than the {_MOST_PAGES:,} that are read. Cut it into parts.")
        pages = [_lines(pdfium.raw, document, number) for number in range(count)]
        title = str(document.get_metadata_dict().get("Title") or "").strip() or None
    except pdfium.PdfiumError as error:
        raise DataError(f"{path} is damaged ({str(error).rstrip('.')}). Save it again.") from error
    finally:
        document.close()
    return _document(path, pages, title)


def _document(path: Path, pages: list[list[_Line]], title: str | None) -> Document:
    """Passages of all pages, and what a person has to know of them."""
    notes = []
    empty = sum(not lines for lines in pages)
    scanned = [line.sure for lines in pages for line in lines if line.sure is not None]
    if scanned:
        count = sum(any(line.sure is not None for line in lines) for lines in pages)
        notes.append(
            f"{path.name}: {counted(count, 'page')} without text read by OCR ({counted(len(scanned), 'line')}, mean confidence "
            f"{sum(scanned) / len(scanned):.2f}); letters may be wrong, so look at their rows (ocr in meta)"
        )
    if empty:
        which = f"all {empty:,} pages hold" if empty == len(pages) else f"{empty:,} of {len(pages):,} pages hold"
        which = "its only page holds" if len(pages) == 1 else which
        remedy = (
            "and OCR found none either" if can_read_scans() else f"to read them: pip install 'finetuning-studio[{OCR_EXTRA}]'"
        )
        notes.append(f"{path.name}: {which} no text (scanned pictures?), {remedy}")
    repeated = _repeated(pages)
    if repeated:
        notes.append(f"{path.name}: lines that stand on most pages were left out ({'; '.join(sorted(repeated)[:3])})")
        pages = [_without(lines, repeated) for lines in pages]
    passages = tuple(_passages([line for lines in pages for line in lines]))
    return Document(passages, title or next((one.headings[0] for one in passages if one.headings), None), tuple(notes))


def _lines(raw: Any, document: Any, number: int) -> list[_Line]:
    """The lines of a page in reading order, as the file has them."""
    page = document[number]
    text = page.get_textpage()
    try:
        total = text.count_chars()
        found: list[_Line] = []
        letters: list[str] = []
        first: int | None = None
        for index in range(total + 1):
            code = raw.FPDFText_GetUnicode(text, index) if index < total else 10
            letter = chr(code) if code else ""
            if letter in {"\r", "\n"} or index == total:
                line = "".join(letters).strip()
                if line and first is not None:
                    found.append(_measured(raw, text, line, number + 1, first))
                letters, first = [], None
                continue
            letters.append(letter)
            if first is None and letter.strip():
                first = index
        return found or _scanned(page, number + 1)
    finally:
        text.close()
        page.close()


def _scanned(page: Any, number: int) -> list[_Line]:
    """The lines of a page that holds no text, where they can be read."""
    if not can_read_scans():
        return []
    return [_Line(line.text, number, line.size, line.top, line.bottom, line.sure) for line in read_scan(page)]


def _measured(raw: Any, text: Any, line: str, page: int, first: int) -> _Line:
    """A line with the size and place of its first letter; a low letter says less of a line than its font's size."""
    size = float(raw.FPDFText_GetFontSize(text, first))
    _, bottom, _, top = text.get_charbox(first, loose=True)
    height = top - bottom
    # The size of a font that is scaled by the page's matrix says nothing; the height of the letter's box does.
    return _Line(" ".join(line.split()), page, height if size <= 1.5 < height else size, top, bottom)


def _repeated(pages: Sequence[list[_Line]]) -> set[str]:
    """First and last lines that stand on more than half of three or more pages, but for numbers: headers and footers."""
    edges: Counter[str] = Counter()
    for lines in pages:
        edges.update({_masked(line.text) for line in (*lines[:1], *lines[-1:])})
    filled = sum(bool(lines) for lines in pages)
    return {text for text, count in edges.items() if filled >= 3 and count > filled / 2}


def _without(lines: list[_Line], repeated: set[str]) -> list[_Line]:
    """Lines of a page without its header and footer."""
    last = len(lines) - 1
    return [line for place, line in enumerate(lines) if place not in {0, last} or _masked(line.text) not in repeated]


def _masked(text: str) -> str:
    """A line with every number as one sign."""
    return _NUMBER.sub("#", text)


def _passages(lines: Sequence[_Line]) -> Iterator[Passage]:
    """Lines joined to paragraphs under their headings."""
    usual = _usual_size(lines)
    headings: list[tuple[float, str]] = []
    block: list[_Line] = []
    last: _Line | None = None
    for line in lines:
        heading = line.size >= _LARGER * usual and len(line.text) <= _HEADING_CHARACTERS and any(map(str.isalpha, line.text))
        if block and (heading or _parted(block[-1], line)):
            yield _passage(block, headings)
            block = []
        if heading:
            headings = _under(headings, line, last)
        else:
            block.append(line)
        last = replace(line, size=line.size if heading else 0.0)
    if block:
        yield _passage(block, headings)


def _usual_size(lines: Sequence[_Line]) -> float:
    """The size in which most letters are set."""
    sizes = [size for line in lines for size in [line.size] * max(1, len(line.text) // 10)]
    return median(sizes) if sizes else 1.0


def _under(headings: list[tuple[float, str]], line: _Line, last: _Line | None) -> list[tuple[float, str]]:
    """The headings that hold after one more; one of the same size on the next line goes on with the one before."""
    goes_on = last is not None and last.page == line.page and abs(last.size - line.size) < 0.1
    if goes_on and headings and last is not None and 0 <= last.bottom - line.top < line.size:
        return [*headings[:-1], (line.size, f"{headings[-1][1]} {line.text}")]
    return [*(one for one in headings if one[0] > line.size + 0.1), (line.size, line.text)]


def _parted(before: _Line, line: _Line) -> bool:
    """True where a new paragraph begins: after a gap, or after a whole sentence at the end of a column or page."""
    ended = before.text.endswith((".", "!", "?", ":", "…", "。"))
    if before.page != line.page or line.top > before.top:
        return ended
    return before.bottom - line.top > _GAP * min(before.size, line.size) or abs(before.size - line.size) > 1


def _passage(block: Sequence[_Line], headings: Sequence[tuple[float, str]]) -> Passage:
    """Lines as one paragraph on the page where it begins; a word cut at the end of a line is whole again."""
    text = ""
    for line in block:
        joined = text[:-1] if text.endswith(_CUT) else f"{text} " if text else ""
        text = joined + line.text
    scanned = any(line.sure is not None for line in block)
    return Passage(text.rstrip("".join(_CUT)), block[0].page, tuple(name for _, name in headings), scanned)
