"""Jupyter notebooks (.ipynb): what is written in markdown and code cells, and results of a few lines. No code is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studio.core.errors import DataError
from studio.data.documents.base import Document, read_text
from studio.data.documents.markdown import titled

# Characters up to which the plain text of a result is kept.
_SHORT = 500


def read_notebook(path: Path) -> Document:
    """A notebook of format 4, its cells in order.

    Raises:
        DataError: it is damaged, no notebook, or of an older format.
    """
    try:
        text, notes = read_text(path)
        book = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged or no notebook ({error}). Save it again.") from error
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        raise DataError(f"{path} is no notebook of format 4: it has no list of cells. Save it again with a newer Jupyter.")
    language = _language(book)
    blocks = [block for cell in book["cells"] if isinstance(cell, dict) for block in _blocks(cell, language)]
    return titled("\n\n".join(blocks), notes=notes)


def _language(book: dict[str, Any]) -> str:
    """The language of the code cells."""
    metadata = book.get("metadata")
    spec = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    return str(spec.get("language", "")) if isinstance(spec, dict) else ""


def _blocks(cell: dict[str, Any], language: str) -> list[str]:
    """A cell as markdown."""
    source = _text(cell.get("source")).strip("\n")
    if cell.get("cell_type") == "markdown":
        return [source]
    if cell.get("cell_type") != "code" or not source.strip():
        return []
    outputs = cell.get("outputs")
    results = [_plain(output) for output in outputs if isinstance(output, dict)] if isinstance(outputs, list) else []
    return [_fenced(source, language), *(_fenced(text) for text in results if text.strip() and len(text) <= _SHORT)]


def _plain(output: dict[str, Any]) -> str:
    """The plain text of a result; pictures and tracebacks have none."""
    data = output.get("data")
    return _text(data.get("text/plain") if isinstance(data, dict) else output.get("text")).strip("\n")


def _fenced(text: str, language: str = "") -> str:
    """A text as a block of code."""
    fence = "~~~" if "```" in text else "```"
    return f"{fence}{language}\n{text}\n{fence}"


def _text(value: Any) -> str:
    """A text, which notebooks may write as a list of lines."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")
