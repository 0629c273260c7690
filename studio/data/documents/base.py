"""What a document is to the studio: passages in reading order, each with where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studio.core.errors import DataError
from studio.core.registry import Registry


@dataclass(frozen=True)
class Passage:
    """A piece of a document that belongs together: a paragraph, a list, a table, a block of code.

    text: as markdown, without its heading. page: counted from 1, None where a format has no pages. headings: those it stands
    under, the outermost first.
    """

    text: str
    page: int | None = None
    headings: tuple[str, ...] = ()


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
        ".txt": "studio.data.documents.markdown:read_plain",
    },
)


def read_document(path: Path) -> Document:
    """Read a file by its ending.

    Raises:
        DataError: it is of no known kind, or damaged.
    """
    if path.suffix.lower() not in DOCUMENTS:
        raise DataError(f"{path.name} is no document that can be read. Known are {', '.join(sorted(DOCUMENTS))}.")
    reader: Callable[[Path], Document] = DOCUMENTS.get(path.suffix.lower())
    return reader(path)
