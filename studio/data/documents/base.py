"""What a document is to the studio: passages in reading order, each with where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import DataError
from studio.core.registry import Registry
from studio.data.readers.encoding import check_encoding, with_mark
from studio.data.readers.guessing import find_encoding


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


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file and what people should know of its encoding, which is found; lines end in a line feed.

    Raises:
        DataError: its encoding is not certain, a byte does not belong to it, or the file is too large.
    """
    check_size(path)
    found = find_encoding(path)
    if found.encoding is None:
        raise DataError(f"{path} is not UTF-8 text, and its encoding is not certain: {found.doubt}. Save it as UTF-8.")
    check_encoding(path, found.encoding)
    return path.read_text(encoding=with_mark(found.encoding)), (f"{path.name}: {found.note}",) if found.note else ()


def read_document(path: Path) -> Document:
    """Read a file by its ending.

    Raises:
        DataError: it is of no known kind, damaged, encrypted or too large.
        MissingExtraError: the library that reads it is not installed.
    """
    if path.suffix.lower() not in DOCUMENTS:
        raise DataError(f"{path.name} is no document that can be read. Known are {', '.join(sorted(DOCUMENTS))}.")
    if path.stat().st_size == 0:
        return Document((), None, (f"{path.name} is empty",))
    reader: Callable[[Path], Document] = DOCUMENTS.get(path.suffix.lower())
    return reader(path)
