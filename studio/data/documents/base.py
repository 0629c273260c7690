"""What a document is to the studio: passages in reading order, each with where it stands."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import DataError
from studio.core.registry import Registry


@dataclass(frozen=True)
class Passage:
    """A piece of a document that belongs together: a paragraph, a list, a table, a block of code.

    text: as markdown, without its heading. page: counted from 1, None where a format has no pages. headings: those it stands
    under, the outermost first. ocr: read from a picture, so that letters may be wrong.
    """

    text: str
    page: int | None = None
    headings: tuple[str, ...] = ()
    ocr: bool = False


@dataclass(frozen=True)
class Document:
    """A file that was read. title: as the file says it, None where it does not. notes: what was left out and why, for people."""

    passages: tuple[Passage, ...]
    title: str | None = None
    notes: tuple[str, ...] = ()


# Ending of a file to what reads it: ``read(path) -> Document``. Readers raise DataError with one sentence for a file that is
# damaged, encrypted or too large; one without any text is a Document without passages and a note.
DOCUMENTS = Registry(
    "kind of document",
    {
        ".md": "studio.data.documents.markdown:read_markdown",
        ".markdown": "studio.data.documents.markdown:read_markdown",
        ".txt": "studio.data.documents.markdown:read_plain",
        ".pdf": "studio.data.documents.pdf:read_pdf",
        ".docx": "studio.data.documents.word:read_word",
        ".docm": "studio.data.documents.word:read_word",
        ".html": "studio.data.documents.web_page:read_web_page",
        ".htm": "studio.data.documents.web_page:read_web_page",
        ".xhtml": "studio.data.documents.web_page:read_web_page",
        ".epub": "studio.data.documents.book:read_book",
        ".srt": "studio.data.documents.subtitles:read_subtitles",
        ".vtt": "studio.data.documents.subtitles:read_subtitles",
        ".ipynb": "studio.data.documents.notebook:read_notebook",
    },
)
EXTRA = "documents"
"""The extra of the studio that carries the libraries of readers."""
# Bytes of the largest file that is read.
_MOST_BYTES = 200 << 20


def check_size(path: Path, most: int = _MOST_BYTES) -> None:
    """Refuse a file of more bytes than are read at once.

    Raises:
        DataError: it is larger.
    """
    size = path.stat().st_size
    if size > most:
        raise DataError(f"{path} has {size >> 20:,} MB, more than the {most >> 20} MB that are read. Cut it into parts.")


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with its mark; lines end in a line feed.

    Raises:
        DataError: it is in another encoding, or too large.
    """
    check_size(path)
    data = path.read_bytes()
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        seen = f"byte {error.start} is 0x{data[error.start]:02x}"
        raise DataError(f"{path} is not UTF-8 text: {seen}. Save it as UTF-8.") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_document(path: Path) -> Document:
    """Read a file by its ending.

    Raises:
        DataError: it is of no known kind, damaged, encrypted or too large.
        MissingExtraError: the library that reads it is not installed.
    """
    if path.suffix.lower() not in DOCUMENTS:
        raise DataError(f"{path.name} is no document that can be read. Known are {', '.join(sorted(DOCUMENTS))}.")
    reader: Callable[[Path], Document] = DOCUMENTS.get(path.suffix.lower())
    return reader(path)
