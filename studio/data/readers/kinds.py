"""Kinds of files by their endings: which hold text, which cannot be read, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from studio.core.errors import DataError
from studio.data.readers.packed import kind_of

LINES = (".jsonl", ".jsonlines", ".ndjson")
"""Endings of files with one JSON value on a line."""
TEXTS = frozenset({".csv", ".tsv", ".json", *LINES, ".yaml", ".yml", ".txt", ".md", ".markdown"})
"""Endings of files that are text in some encoding. XML says its own."""

_REMEDIES = {
    "Its text can be read with 'type: documents', or save what you need of it as text or markdown.": (
        ".pdf", ".docx", ".pptx", ".html", ".htm", ".epub", ".odt", ".rtf", ".eml", ".tex", ".rst",
    ),
    "Save it as xlsx, or as CSV in UTF-8.": (".xls", ".xlsm", ".xlsb", ".numbers", ".gsheet"),
    "Pickles run code when they are opened and are never read: save the rows as parquet or JSON lines.": (
        ".pkl", ".pickle", ".pt", ".pth",
    ),
    "Pack the files as zip, or give the folder they lie in.": (".tar", ".tgz", ".7z", ".rar", ".tbz2", ".txz"),
    "Name one of the files in it: archive.zip/inner.csv.": (".zip",),
    "Convert it to parquet: pyarrow reads it.": (".arrow", ".feather", ".orc"),
    "Read it with a query: 'type: sqlite'.": (".sqlite", ".sqlite3", ".db"),
    "Read it with a query: 'type: duckdb'.": (".duckdb",),
    "Read it as a log, with 'format: log' in the source of a table or of series.": (".log", ".out", ".err"),
    "Pictures are read by a recipe of kind image.": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".svg"),
}  # fmt: skip
# What files of other kinds begin with, for those that have another's ending.
_SIGNS = (
    (b"PK\x03\x04", "a zip archive or a workbook", ".zip or .xlsx"),
    (b"\x1f\x8b", "packed with gzip", ".gz"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", ".zst"),
    (b"BZh", "packed with bzip2", ".bz2"),
    (b"\xfd7zXZ\x00", "packed with xz", ".xz"),
    (b"PAR1", "a parquet table", ".parquet"),
    (b"SQLite format 3\x00", "an SQLite file", ".sqlite"),
    (b"%PDF-", "a PDF document", ".pdf"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", ".xls or .doc"),
)
# Files of rows, none of which begins with a tag.
_ROWS = TEXTS - {".txt", ".md", ".markdown"}
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)


def remedy_for(suffix: str) -> str:
    """What can be done with a file of a kind that no reader knows."""
    return next((remedy for remedy, suffixes in _REMEDIES.items() if suffix in suffixes), "Save it as CSV in UTF-8.")


def unknown_kind(path: Path, suffixes: Iterable[str]) -> str:
    """One sentence for a file that no reader knows."""
    return f"{path} is of no known kind. Known: {', '.join(sorted(suffixes))}. {remedy_for(kind_of(path))}"


def check_kind(path: Path) -> None:
    """Refuse a text file that begins as a file of another kind does.

    Raises:
        DataError: names what it seems to be.
    """
    if path.suffix.lower() not in TEXTS:
        return
    with path.open("rb") as stream:
        start = stream.read(1024)
    if path.suffix.lower() in _ROWS and _PAGE.match(start):
        raise DataError(
            f"{path} is called {path.suffix} and is a web page, which servers send in place of a file that is not there or "
            "needs a login. Fetch the file again; to read the page itself give it the ending .html and 'type: documents'."
        )
    if not any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in start):
        return
    for sign, what, ending in _SIGNS:
        if start.startswith(sign):
            raise DataError(
                f"{path} is called {path.suffix} and is {what}. Give it its own ending ({ending}), or save it as text."
            )
