"""Documents that were read before: a folder of thousands is not read anew at every build."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from studio.core.errors import StudioError
from studio.core.evidence import EvidenceCache
from studio.core.files import sha256_json
from studio.data.cache import code_files, code_version
from studio.data.documents.base import Document, Passage, read_document
from studio.data.memo import HashMemo

FILE = "documents.sqlite"
_SUBJECT = "document"
_LIBRARIES = ("pypdfium2", "trafilatura", "lxml", "mammoth", "rapidocr", "onnxruntime")


@dataclass
class Shelf:
    """What is known of documents by their bytes. kept: None where nothing can be written, so that all is read anew."""

    memo: HashMemo
    kept: EvidenceCache | None = None

    def read(self, path: Path) -> Document:
        """A document; see :func:`studio.data.documents.base.read_document`."""
        key = sha256_json([path.name, self.memo.sha256(path), _reader_version()])
        value = self.kept.get(_SUBJECT, [key]).get(key) if self.kept is not None else None
        if value is not None:
            return _document(value)
        document = read_document(path)
        if self.kept is not None:
            with suppress(StudioError):
                self.kept.put(_SUBJECT, {key: _plain(document)})
        return document


@contextmanager
def opened_shelf(folder: Path, memo: HashMemo) -> Iterator[Shelf]:
    """The documents that a workspace knows; its file may be deleted at any time."""
    shelf = Shelf(memo)
    with suppress(StudioError, OSError):
        shelf.kept = EvidenceCache(folder / FILE)
    try:
        yield shelf
    finally:
        if shelf.kept is not None:
            shelf.kept.close()


@cache
def _reader_version() -> list[Any]:
    """What decides how documents are read: this room's code and the libraries that are there."""
    versions: dict[str, str] = {}
    for name in _LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return [code_version(*code_files("documents")), versions]


def _plain(document: Document) -> dict[str, Any]:
    """A document as plain values."""
    passages = [[passage.text, passage.page, passage.headings, passage.ocr] for passage in document.passages]
    return {"title": document.title, "notes": document.notes, "passages": passages}


def _document(value: dict[str, Any]) -> Document:
    """A document from plain values."""
    passages = tuple(Passage(text, page, tuple(headings), ocr) for text, page, headings, ocr in value["passages"])
    return Document(passages, value["title"], tuple(value["notes"]))
